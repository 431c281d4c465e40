//! The names of StyleGAN's files of VGG16.

use tch::Tensor;

/// A name that tells these files from others.
const MARK: &str = "layers.conv1.weight";

/// Where the convolutions `conv1` to `conv13` are in torchvision's list.
const CONVS: [usize; 13] = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28];
/// Where the fully connected layers `fc1` to `fc3` are.
const LINEARS: [usize; 3] = [0, 3, 6];

/// The tensors under torchvision's names, if they are those of a StyleGAN file, without the heads of LPIPS that are in it;
/// others as they are.
pub(super) fn renamed(mut tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    if !tensors.iter().any(|(name, _)| name == MARK) {
        return tensors;
    }
    tensors.retain(|(name, _)| !is_head(name));
    let rename = |(name, tensor): (String, Tensor)| (published(&name).unwrap_or(name), tensor);
    tensors.into_iter().map(rename).collect()
}

/// `lpips0` to `lpips4`.
fn is_head(name: &str) -> bool {
    name.strip_prefix("lpips").is_some_and(|number| ["0", "1", "2", "3", "4"].contains(&number))
}

fn published(name: &str) -> Option<String> {
    let (layer, part) = name.strip_prefix("layers.")?.split_once('.')?;
    let place = |prefix: &str, places: &[usize]| {
        let number: usize = layer.strip_prefix(prefix)?.parse().ok()?;
        places.get(number.checked_sub(1)?).copied()
    };
    match place("conv", &CONVS) {
        Some(index) => Some(format!("features.{index}.{part}")),
        None => Some(format!("classifier.{}.{part}", place("fc", &LINEARS)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Vgg16, Vgg16Variant};
    use tch::{Device, Kind};

    fn tensors(names: impl IntoIterator<Item = String>) -> Vec<(String, Tensor)> {
        let empty = || Tensor::zeros([0], (Kind::Float, Device::Cpu));
        names.into_iter().map(|name| (name, empty())).collect()
    }

    #[test]
    fn every_tensor_of_a_style_gan_file_is_one_of_torchvisions() {
        let layers = (1..=13).map(|n| format!("conv{n}")).chain((1..=3).map(|n| format!("fc{n}")));
        let parts = |layer| ["weight", "bias"].map(|part| format!("layers.{layer}.{part}"));
        let heads = (0..5).map(|n| format!("lpips{n}"));
        let found = renamed(tensors(layers.flat_map(parts).chain(heads)));
        let found: Vec<_> = found.into_iter().map(|(name, _)| name).collect();
        let network = Vgg16::zeroed(Vgg16Variant::Plain, Device::Cpu);
        let expected: Vec<_> = network.parameters().iter().map(|entry| &entry.name).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_is_not_known_keeps_its_name() {
        let names = ["layers.conv1.weight", "layers.conv14.weight", "layers.fc0.bias", "lpips5"];
        let found = renamed(tensors(names.map(str::to_owned)));
        assert_eq!(found[0].0, "features.0.weight");
        assert!(found.iter().zip(names).skip(1).all(|((found, _), name)| found == name));
        let other = renamed(tensors(["lpips0".to_owned()]));
        assert_eq!(other[0].0, "lpips0");
    }
}
