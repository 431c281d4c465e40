//! Published configurations give the published tensors, and so do the presets.

use serde::de::DeserializeOwned;
use unet::{Architecture, AutoencoderKl, AutoencoderKlConfig, Unet2dConditionConfig, Unet2dConfig};

fn parse<C: DeserializeOwned>(json: &str) -> C {
    serde_json::from_str(json).unwrap()
}

fn unet_2d(json: &str) -> Architecture {
    Architecture::Unet2d(parse(json))
}

fn condition(json: &str) -> Architecture {
    Architecture::Unet2dCondition(parse(json))
}

fn values(tensors: &[(String, Vec<i64>)]) -> i64 {
    tensors.iter().map(|(_, shape)| shape.iter().product::<i64>()).sum()
}

fn check_list(tensors: &[(String, Vec<i64>)], list: &str) {
    let found = tensors.iter().map(|(name, shape)| format!("{name} {shape:?} float32"));
    for (position, (found, expected)) in found.zip(list.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", position + 1);
    }
    assert_eq!(tensors.len(), list.lines().count());
}

#[test]
fn ddpm_cifar10() {
    let published = unet_2d(include_str!("configs/ddpm_cifar10_32.json"));
    let tensors = published.state_dict().unwrap();
    check_list(&tensors, include_str!("../state_dicts/diffusers_ddpm_cifar10_32.txt"));
    assert_eq!(published.parameter_count().unwrap(), 35_746_307);
    let preset = Architecture::Unet2d(Unet2dConfig::ddpm_cifar10());
    assert_eq!(preset.state_dict().unwrap(), tensors);
}

#[test]
fn ddpm_for_images_of_256_pixels() {
    let published = unet_2d(include_str!("configs/ddpm_cat_256.json"));
    let preset = Architecture::Unet2d(Unet2dConfig::ddpm_256());
    assert_eq!(preset.state_dict().unwrap(), published.state_dict().unwrap());
    assert_eq!(published.parameter_count().unwrap(), 113_673_219);
}

#[test]
fn stable_diffusion_15() {
    let published = condition(include_str!("configs/sd15_unet.json"));
    let tensors = published.state_dict().unwrap();
    check_list(&tensors, include_str!("../state_dicts/diffusers_sd15_unet.txt"));
    assert_eq!(published.parameter_count().unwrap(), 859_520_964);
    let preset = Architecture::Unet2dCondition(Unet2dConditionConfig::sd15());
    assert_eq!(preset.state_dict().unwrap(), tensors);
}

#[test]
fn stable_diffusion_21() {
    let published = condition(include_str!("configs/sd21_unet.json"));
    let preset = Architecture::Unet2dCondition(Unet2dConditionConfig::sd21());
    assert_eq!(preset.state_dict().unwrap(), published.state_dict().unwrap());
    assert_eq!(published.parameter_count().unwrap(), 865_910_724);
}

#[test]
fn stable_diffusion_xl() {
    let published = condition(include_str!("configs/sdxl_unet.json"));
    let tensors = published.state_dict().unwrap();
    check_list(&tensors, include_str!("../state_dicts/diffusers_sdxl_unet.txt"));
    assert_eq!(published.parameter_count().unwrap(), 2_567_463_684);
    let preset = Architecture::Unet2dCondition(Unet2dConditionConfig::sdxl());
    assert_eq!(preset.state_dict().unwrap(), tensors);
}

#[test]
fn latent_consistency_models() {
    for (config, expected) in [
        (Unet2dConditionConfig::lcm_sd15(), 859_602_884),
        (Unet2dConditionConfig::lcm_sdxl(), 2_567_545_604),
    ] {
        let architecture = Architecture::Unet2dCondition(config);
        assert_eq!(architecture.parameter_count().unwrap(), expected);
        let (name, shape) = &architecture.state_dict().unwrap()[4];
        assert_eq!(
            (name.as_str(), &shape[..]),
            ("time_embedding.cond_proj.weight", &[320, 256][..])
        );
    }
}

#[test]
fn the_autoencoder_of_stable_diffusion() {
    let published: AutoencoderKlConfig = parse(include_str!("configs/sd_vae.json"));
    let tensors = AutoencoderKl::state_dict(&published).unwrap();
    check_list(&tensors, include_str!("../state_dicts/diffusers_sd_vae.txt"));
    assert_eq!(values(&tensors), 83_653_863);
    for preset in [AutoencoderKlConfig::sd(), AutoencoderKlConfig::sdxl()] {
        assert_eq!(AutoencoderKl::state_dict(&preset).unwrap(), tensors);
    }
    assert_eq!(published.scaling_factor, 0.18215);
    assert_eq!(AutoencoderKlConfig::sdxl().scaling_factor, 0.13025);
}

#[test]
fn a_configuration_is_written_as_it_was_read() {
    let json = include_str!("configs/sdxl_unet.json");
    let config: Unet2dConditionConfig = parse(json);
    let written: serde_json::Value = serde_json::to_value(&config).unwrap();
    let read: serde_json::Value = parse(json);
    for (field, value) in read.as_object().unwrap() {
        let same = written[field] == *value || written[field].as_f64() == value.as_f64();
        assert!(same, "{field}: {} instead of {value}", written[field]);
    }
    let architecture = condition(json);
    let text = serde_json::to_string(&architecture).unwrap();
    assert_eq!(parse::<Architecture>(&text), architecture);
}
