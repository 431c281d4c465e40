//! Names, shapes and order of the parameters against the official state dicts.

use unet::{Architecture, DhariwalUnetConfig, GuidedUnetConfig, ShiftUnetConfig, SongUnetConfig};

/// `parameters`: trained values, without buffers.
fn check(architecture: &Architecture, list: &str, parameters: u64) {
    let tensors = architecture.state_dict().unwrap();
    let found: Vec<String> =
        tensors.iter().map(|(name, shape)| format!("{name} {shape:?} float32")).collect();
    let expected: Vec<_> = list.lines().collect();
    for (position, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "line {}", position + 1);
    }
    assert_eq!(found.len(), expected.len());
    assert_eq!(architecture.parameter_count().unwrap(), parameters);
}

fn song_unet(config: SongUnetConfig) -> Architecture {
    Architecture::SongUnet(config)
}

#[test]
fn ddpmpp_cifar10_unconditional() {
    let list = include_str!("state_dicts/edm_ddpmpp_cifar_uncond.txt");
    check(&song_unet(SongUnetConfig::cifar10(0)), list, 55_733_891);
}

#[test]
fn ddpmpp_cifar10_with_classes() {
    let list = include_str!("state_dicts/edm_ddpmpp_cifar_cond.txt");
    check(&song_unet(SongUnetConfig::cifar10(10)), list, 55_735_299);
}

#[test]
fn ddpmpp_for_images_of_64_pixels() {
    let list = include_str!("state_dicts/edm_ddpmpp_64.txt");
    check(&song_unet(SongUnetConfig::ffhq64()), list, 61_805_571);
}

#[test]
fn ncsnpp_cifar10_unconditional() {
    let list = include_str!("state_dicts/edm_ncsnpp_cifar_uncond.txt");
    check(&song_unet(SongUnetConfig::cifar10(0).ncsnpp()), list, 56_397_827);
}

#[test]
fn ncsnpp_cifar10_with_classes() {
    let list = include_str!("state_dicts/edm_ncsnpp_cifar_cond.txt");
    check(&song_unet(SongUnetConfig::cifar10(10).ncsnpp()), list, 56_400_643);
}

#[test]
fn ncsnpp_for_images_of_64_pixels() {
    let list = include_str!("state_dicts/edm_ncsnpp_64.txt");
    check(&song_unet(SongUnetConfig::ffhq64().ncsnpp()), list, 62_761_091);
}

#[test]
fn adm_imagenet64() {
    let list = include_str!("state_dicts/edm_adm_64_cond.txt");
    check(&Architecture::DhariwalUnet(DhariwalUnetConfig::imagenet64()), list, 295_899_267);
}

#[test]
fn adm_with_learned_variance_inside_its_preconditioning() {
    let list = include_str!("state_dicts/edm_iddpm_adm_64_cond.txt");
    let of_network = list.strip_prefix("u [1001] float32\n").expect("the preconditioning's table");
    let config = DhariwalUnetConfig::imagenet64().with_learned_variance();
    check(&Architecture::DhariwalUnet(config), of_network, 295_904_454);
}

fn guided_unet(config: GuidedUnetConfig) -> Architecture {
    Architecture::GuidedUnet(config)
}

#[test]
fn guided_diffusion_for_images_of_64_pixels() {
    let list = include_str!("state_dicts/guided_diffusion_64_cond.txt");
    check(&guided_unet(GuidedUnetConfig::imagenet64()), list, 295_904_454);
}

#[test]
fn guided_diffusion_for_images_of_128_pixels() {
    let list = include_str!("state_dicts/guided_diffusion_128_cond.txt");
    check(&guided_unet(GuidedUnetConfig::imagenet128()), list, 421_529_606);
}

#[test]
fn guided_diffusion_for_images_of_256_pixels() {
    let list = include_str!("state_dicts/guided_diffusion_256_cond.txt");
    check(&guided_unet(GuidedUnetConfig::imagenet256()), list, 553_838_086);
}

#[test]
fn guided_diffusion_for_images_of_256_pixels_without_classes() {
    let list = include_str!("state_dicts/guided_diffusion_256_uncond.txt");
    check(&guided_unet(GuidedUnetConfig::imagenet256_unconditional()), list, 552_814_086);
    check(&guided_unet(GuidedUnetConfig::lsun256()), list, 552_814_086);
}

#[test]
fn consistency_models_for_imagenet() {
    let list = include_str!("state_dicts/consistency_imagenet64.txt");
    check(&guided_unet(GuidedUnetConfig::consistency_imagenet64()), list, 295_899_267);
}

#[test]
fn consistency_models_for_lsun() {
    let list = include_str!("state_dicts/consistency_lsun256.txt");
    check(&guided_unet(GuidedUnetConfig::consistency_lsun256()), list, 526_304_771);
}

#[test]
fn a_student_with_its_gradient_branch() {
    let list = include_str!("state_dicts/sferd_shift_unet_cifar_example.txt");
    check(&Architecture::ShiftUnet(ShiftUnetConfig::default()), list, 76_615_430);
}
