//! The features of named recipes, from published files.

use crate::{
    ClipImage, ClipImageConfig, ClipModel, DinoV2, DinoV2Config, DinoV2Size, Error, Inception,
    LeNet, LeNetOutput, Result, Vgg16, Vgg16Variant, WeightFile,
};
use metrics::{Recipe, RecipeFeatures};
use std::path::Path;
use tch::{Device, Tensor};

/// A network of any architecture, from prepared images to feature vectors.
type Network = Box<dyn Fn(&Tensor) -> metrics::Result<Tensor>>;

/// The features that a recipe of [`metrics`] describes: the network that it names with the weights of a file.
pub type PublishedFeatures = RecipeFeatures<Network>;

/// The published file that the network of a recipe has its weights from.
///
/// # Errors
/// [`Error::NoNetwork`] for a network that is not in this crate.
pub fn weight_file(recipe: &Recipe) -> Result<WeightFile> {
    match (&*recipe.network, ClipModel::named(&recipe.network)) {
        ("inception-2015-12-05", _) => Ok(Inception::PYTORCH_FID),
        ("vgg16 (StyleGAN)", _) => Ok(Vgg16::STYLE_GAN),
        ("vgg16 (torchvision)", _) => Ok(Vgg16::TORCHVISION),
        ("dinov2-vit-l14", _) => Ok(DinoV2Size::Large.weight_file(false)),
        (_, Some(clip)) => Ok(clip.file),
        _ => Err(no_network(recipe)),
    }
}

/// The features of `recipe` with the weights in `file`, which may have any name and format.
///
/// Published numbers are computed in full single precision: on a GPU, call
/// `libtorch_ext::switches::set_tf32_convolutions(false)` first.
///
/// # Errors
/// [`Error::NoNetwork`] for a network, or an output of one, that is not in this crate; else as [`crate::read_into`].
///
/// # Example
/// ```no_run
/// use backbones::{recipe_features, weight_file};
/// use metrics::{FeatureFrechet, Metric, Recipe, ReferenceStats};
/// use tch::Device;
///
/// let recipe = Recipe::EDM_FID;
/// let file = weight_file(&recipe)?.in_cache()?; // says where to get it if it is not there
/// let features = recipe_features(recipe.clone(), &file, Device::Cpu)?;
/// let reference = ReferenceStats::read_npz("cifar10-32x32.npz", recipe)?;
/// let mut fid = FeatureFrechet::from_reference(features, &reference)?;
/// # let images = tch::Tensor::new();
/// fid.update(&images)?;
/// println!("{}", fid.value()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recipe_features(recipe: Recipe, file: &Path, device: Device) -> Result<PublishedFeatures> {
    let network: Network = match (&*recipe.network, &*recipe.output) {
        ("inception-2015-12-05", "pool3") => {
            let inception = Inception::open(file, device)?;
            Box::new(move |pixels| Ok(inception.features(pixels)))
        }
        ("inception-2015-12-05", "logits without bias") => {
            let inception = Inception::open(file, device)?;
            Box::new(move |pixels| {
                let features = inception.features(pixels);
                Ok(inception.logits_without_bias(&features))
            })
        }
        ("vgg16 (StyleGAN)" | "vgg16 (torchvision)", "fc2 after ReLU") => {
            let vgg = Vgg16::open(file, Vgg16Variant::Plain, device)?;
            Box::new(move |pixels| Ok(vgg.fully_connected(pixels)))
        }
        ("dinov2-vit-l14", "class token after the last norm") => {
            let config = DinoV2Config { size: DinoV2Size::Large, ..DinoV2Config::default() };
            let network = DinoV2::open(file, &config, device)?;
            Box::new(move |pixels| Ok(network.forward(pixels, &[]).class))
        }
        (name, "image embedding of unit length") => {
            let model = ClipModel::named(name).ok_or_else(|| no_network(&recipe))?;
            let tower = clip_tower(model, &recipe, file, device)?;
            Box::new(move |pixels| {
                let features = tower.forward(pixels);
                let embedding =
                    features.map_err(|error| metrics::Error::Network(error.into()))?.embedding;
                Ok(&embedding / embedding.norm_scalaropt_dim(2.0, [1i64], true))
            })
        }
        _ => match LeNet::of_recipe(&recipe, file, device) {
            Some(found) => {
                let (lenet, output) = found?;
                Box::new(move |pixels| {
                    let features = lenet.features(pixels);
                    Ok(match output {
                        LeNetOutput::Features => features,
                        LeNetOutput::Logits => lenet.logits(&features),
                    })
                })
            }
            None => return Err(no_network(&recipe)),
        },
    };
    Ok(RecipeFeatures::new(recipe, network).on(device))
}

/// The image tower in `file`, once it is known to fit the recipe.
fn clip_tower(
    model: &ClipModel,
    recipe: &Recipe,
    file: &Path,
    device: Device,
) -> Result<ClipImage> {
    let config = ClipImageConfig::of_file(file, model.image.transformer.activation)?;
    let ClipImageConfig { image_size, embedding, .. } = config;
    let expected = [recipe.resize.map_or(image_size, |(_, side)| side), recipe.dim];
    if [image_size, embedding] != expected {
        return Err(Error::OtherTower { path: file.into(), image_size, embedding, expected });
    }
    ClipImage::open_as(file, &config, device)
}

fn no_network(recipe: &Recipe) -> Error {
    let Recipe { name, network, output, .. } = recipe;
    Error::NoNetwork {
        recipe: name.to_string(),
        network: network.to_string(),
        output: output.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClipTransformerConfig;
    use metrics::{FeatureFrechet, Metric, Resize};
    use std::collections::BTreeMap;
    use testkit::formula;

    /// Inception with weights by formula, in a file.
    fn file(folder: &tempfile::TempDir) -> std::path::PathBuf {
        let network = Inception::zeroed(Device::Cpu);
        formula::fill(network.parameters(), "");
        let path = folder.path().join("inception.safetensors");
        network.parameters().save(&path, &BTreeMap::new()).unwrap();
        path
    }

    #[test]
    fn a_named_recipe_measures_with_its_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder);
        let images = diffusion_core::Noise::new(1).uniform(&[3, 3, 8, 8]) * 2.0 - 1.0;
        let open = |recipe: Recipe| recipe_features(recipe, &path, Device::Cpu).unwrap();
        let mut fid = FeatureFrechet::from_images(open(Recipe::EDM_FID), &images, 2).unwrap();
        fid.update(&images).unwrap();
        let info = fid.info();
        assert!(fid.value().unwrap().abs() < 1e-6);
        assert!(info.recipe.contains("inception-2015-12-05, pool3"), "{}", info.recipe);
        let bytes = Recipe::INCEPTION_SCORE.bytes.encode(&images);
        let logits = open(Recipe::INCEPTION_SCORE).features_of_bytes(&bytes).unwrap();
        assert_eq!(logits.size(), [3, 1008]);
    }

    #[test]
    fn embeddings_of_clip_have_unit_length_and_fit_the_recipe() {
        let transformer = ClipTransformerConfig {
            layers: 1,
            hidden: 32,
            ..ClipModel::OPENAI_VIT_B32.image.transformer
        };
        let config = ClipImageConfig { image_size: 64, patch: 32, embedding: 16, transformer };
        let tower = ClipImage::zeroed(&config, Device::Cpu);
        formula::fill(tower.parameters(), "");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clip.safetensors");
        tower.parameters().save(&path, &BTreeMap::new()).unwrap();
        let resize = Some((Resize::TorchBicubic, 64));
        let recipe = Recipe { resize, dim: 16, ..Recipe::CMMD };
        let features = recipe_features(recipe.clone(), &path, Device::Cpu).unwrap();
        let images = diffusion_core::Noise::new(1).uniform(&[3, 3, 40, 40]) * 2.0 - 1.0;
        let bytes = recipe.bytes.encode(&images);
        let found = features.features_of_bytes(&bytes).unwrap();
        let raw = tower.forward(&recipe.prepare(&bytes).unwrap()).unwrap().embedding;
        let length = raw.square().sum_dim_intlist(1, true, tch::Kind::Float).sqrt();
        assert!(length.min().double_value(&[]) > 1.5);
        assert!((found * length - raw).abs().max().double_value(&[]) < 1e-5);
        let error = recipe_features(Recipe::CMMD, &path, Device::Cpu).err().unwrap();
        assert!(matches!(error, Error::OtherTower { image_size: 64, embedding: 16, .. }));
        assert!(error.to_string().contains("[336, 768]"), "{error}");
    }

    #[test]
    fn a_trained_network_is_known_by_its_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lenet.safetensors");
        let mut noise = diffusion_core::Noise::new(3);
        let [network, other] = [(); 2].map(|()| LeNet::new(10, &mut noise, Device::Cpu));
        network.parameters().save(&path, &BTreeMap::new()).unwrap();
        let images = noise.uniform(&[5, 1, 28, 28]) * 2.0 - 1.0;
        for (output, dim) in [(LeNetOutput::Features, 84), (LeNetOutput::Logits, 10)] {
            let recipe = network.recipe(output);
            let extractor = recipe_features(recipe.clone(), &path, Device::Cpu).unwrap();
            let bytes = recipe.bytes.encode(&images);
            let features = network.features(&(bytes.to_kind(tch::Kind::Float) / 127.5 - 1.0));
            let expected = match output {
                LeNetOutput::Features => features,
                LeNetOutput::Logits => network.logits(&features),
            };
            let found = extractor.features_of_bytes(&bytes).unwrap();
            assert_eq!(found.size(), [5, dim]);
            assert!((found - expected.detach()).abs().max().double_value(&[]) < 1e-5);

            let foreign = other.recipe(output);
            assert!(recipe.require_same(&foreign).is_err());
            let error = recipe_features(foreign, &path, Device::Cpu).err().unwrap();
            let text = error.to_string();
            assert!(
                text.contains(&network.checksum()) && text.contains(&other.checksum()),
                "{text}"
            );
        }
    }

    #[test]
    fn a_network_that_is_not_here_is_named() {
        let unknown = Recipe { network: "nobody's".into(), ..Recipe::EDM_FID };
        let error = weight_file(&unknown).unwrap_err();
        assert!(error.to_string().contains("nobody's"), "{error}");
        let missing = Path::new("/nowhere/inception.pth");
        let error = recipe_features(Recipe::CLEAN_FID, missing, Device::Cpu).err().unwrap();
        assert!(error.to_string().contains("/nowhere/inception.pth"), "{error}");
        assert_eq!(weight_file(&Recipe::FD_DINOV2).unwrap().name, "dinov2_vitl14_pretrain.pth");
        let clip = weight_file(&Recipe::CMMD).unwrap();
        assert!(clip.url.contains(clip.sha256) && clip.name == "ViT-L-14-336px.pt", "{}", clip.url);
    }
}
