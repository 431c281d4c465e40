//! Names and orders of channels in EDM for the layers of guided-diffusion.

use super::config::GuidedUnetConfig;
use super::layout::{Layout, ModuleShape};
use crate::blocks::{QkvOrder, Resample};
use diffusion_core::{Parameters, Part};
use std::collections::BTreeMap;
use tch::Tensor;

/// Layers of a residual block, here and in EDM.
const BLOCK: [(&str, &str); 6] = [
    ("in_layers.0", "norm0"),
    ("in_layers.2", "conv0"),
    ("emb_layers.1", "affine"),
    ("out_layers.0", "norm1"),
    ("out_layers.3", "conv1"),
    ("skip_connection", "skip"),
];

/// Layers of an attention module, here and in EDM, where they belong to the block before it.
const ATTENTION: [(&str, &str); 3] = [("norm", "norm2"), ("qkv", "qkv"), ("proj_out", "proj")];

/// Layers outside of the blocks, here and in EDM.
const AROUND: [(&str, &str); 5] = [
    ("time_embed.0", "map_layer0"),
    ("time_embed.2", "map_layer1"),
    ("label_emb", "map_label"),
    ("out.0", "out_norm"),
    ("out.2", "out_conv"),
];

/// Where every layer's tensors go in EDM.
pub(super) struct AdmNames {
    layers: BTreeMap<String, Place>,
    filters: Vec<(String, Tensor)>,
}

/// The name of a layer in EDM, and its heads and their order if it is a `qkv`.
struct Place {
    name: String,
    heads: Option<(i64, QkvOrder)>,
}

impl AdmNames {
    /// For a network that EDM's can be.
    pub(super) fn new(config: &GuidedUnetConfig) -> Self {
        let mut names = Self { layers: BTreeMap::new(), filters: Vec::new() };
        names.add("", "", &AROUND);
        let coarsest = config.image_size >> (config.channel_mult.len() - 1);
        let mut encoder = Walk::new("enc", "block", config.image_size);
        let mut inner = Walk::new("dec", "in", coarsest);
        let mut decoder = Walk::new("dec", "block", coarsest);
        for (name, row) in Layout::new(config).rows() {
            let walk = match row.part {
                Part::Bottleneck => &mut inner,
                Part::Decoder => &mut decoder,
                Part::Encoder | Part::Embedding => &mut encoder,
            };
            for (idx, module) in row.modules.iter().enumerate() {
                names.add_module(walk, &format!("{name}.{idx}"), *module);
            }
        }
        names
    }

    fn add_module(&mut self, walk: &mut Walk, own: &str, module: ModuleShape) {
        match module {
            ModuleShape::Conv(_) => self.add(own, &walk.name("conv"), &[("", "")]),
            ModuleShape::Block(shape) => {
                walk.enter(shape.resample);
                self.add(&format!("{own}."), &format!("{}.", walk.block), &BLOCK);
                if shape.resample != Resample::Keep {
                    for layer in ["conv0", "skip"] {
                        let name = format!("model.{}.{layer}.resample_filter", walk.block);
                        self.filters.push((name, Resample::filter(&[1.0, 1.0])));
                    }
                }
            }
            ModuleShape::Attention(shape) => {
                self.add(&format!("{own}."), &format!("{}.", walk.block), &ATTENTION);
                let qkv = self.layers.get_mut(&format!("{own}.qkv")).expect("it was just added");
                qkv.heads = Some((shape.heads, shape.order));
            }
            ModuleShape::Resize(_) => unreachable!("blocks resample, or there is no such network"),
        }
    }

    /// Adds layers whose names here and in EDM begin with `own` and `adm`.
    fn add(&mut self, own: &str, adm: &str, layers: &[(&str, &str)]) {
        for (here, there) in layers {
            let place = Place { name: format!("model.{adm}{there}"), heads: None };
            self.layers.insert(format!("{own}{here}"), place);
        }
    }

    /// A network's tensors with EDM's names and in its order of channels, and EDM's filters.
    pub(super) fn translate(self, parameters: &Parameters) -> Vec<(String, Tensor)> {
        let _no_grad = tch::no_grad_guard();
        let translated = parameters.iter().map(|entry| {
            let (layer, kind) = entry.name.rsplit_once('.').expect("names have layer and kind");
            let place = &self.layers[layer];
            (format!("{}.{kind}", place.name), place.tensor(layer, &entry.tensor))
        });
        translated.chain(self.filters).collect()
    }
}

impl Place {
    fn tensor(&self, layer: &str, tensor: &Tensor) -> Tensor {
        let shape = tensor.size();
        match self.heads {
            _ if layer == "label_emb" => tensor.tr(),
            // biases are `[3 C]`, weights `[3 C, C, 1]` or `[3 C, C, 1, 1]`
            Some((heads, order)) => {
                let head_channel_part = match order {
                    QkvOrder::PartHeadChannel => {
                        tensor.view([3, heads, shape[0] / 3 / heads, -1]).permute([1, 2, 0, 3])
                    }
                    QkvOrder::HeadPartChannel => {
                        tensor.view([heads, 3, shape[0] / 3 / heads, -1]).permute([0, 2, 1, 3])
                    }
                    QkvOrder::HeadChannelPart => tensor.shallow_clone(),
                };
                with_two_axes(&head_channel_part.reshape(shape.as_slice()))
            }
            None => with_two_axes(tensor),
        }
    }
}

/// `[out, in, 1]` as `[out, in, 1, 1]`; others as they are.
fn with_two_axes(tensor: &Tensor) -> Tensor {
    if tensor.dim() == 3 { tensor.unsqueeze(-1) } else { tensor.shallow_clone() }
}

/// EDM's names along the blocks of a half of the network.
struct Walk {
    half: &'static str,
    stem: &'static str,
    resolution: i64,
    count: usize,
    /// The block that was entered last.
    block: String,
}

impl Walk {
    fn new(half: &'static str, stem: &'static str, resolution: i64) -> Self {
        Self { half, stem, resolution, count: 0, block: String::new() }
    }

    fn name(&self, layer: &str) -> String {
        format!("{}.{1}x{1}_{layer}", self.half, self.resolution)
    }

    /// Blocks are counted from every change of the resolution on.
    fn enter(&mut self, resample: Resample) {
        if resample == Resample::Keep {
            self.block = self.name(&format!("{}{}", self.stem, self.count));
            self.count += 1;
            return;
        }
        let is_down = resample == Resample::Down;
        self.resolution = if is_down { self.resolution / 2 } else { self.resolution * 2 };
        self.block = self.name(if is_down { "down" } else { "up" });
        self.count = 0;
    }
}
