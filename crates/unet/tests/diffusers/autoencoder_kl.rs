//! The autoencoder around a diffusion model.

use diffusion_core::Noise;
use tch::{Device, Kind, Tensor};
use unet::{AutoencoderKl, AutoencoderKlConfig};

fn config() -> AutoencoderKlConfig {
    AutoencoderKlConfig {
        block_out_channels: vec![8, 8, 16, 16],
        norm_num_groups: 4,
        shift_factor: Some(0.25),
        scaling_factor: 0.5,
        ..AutoencoderKlConfig::sd()
    }
}

fn autoencoder() -> AutoencoderKl {
    AutoencoderKl::new(&config(), &mut Noise::new(1), Device::Cpu).unwrap()
}

fn images() -> Tensor {
    Noise::new(2).normal(&[2, 3, 16, 24])
}

#[test]
fn latents_change_their_unit_and_back() {
    let (autoencoder, latents) = (autoencoder(), Tensor::from_slice(&[0.25f32, 1.25, -0.75]));
    let normalized = autoencoder.normalize(&latents);
    assert_eq!(Vec::<f32>::try_from(&normalized).unwrap(), [0.0, 0.5, -0.5]);
    assert_eq!(autoencoder.denormalize(&normalized), latents);
}

#[test]
fn gradients_reach_every_parameter() {
    let autoencoder = autoencoder();
    let latents = autoencoder.encode(&images());
    let decoded = autoencoder.decode(&latents.sample(&mut Noise::new(3)));
    (decoded.square().sum(Kind::Float) + latents.log_variance.sum(Kind::Float)).backward();
    for entry in autoencoder.parameters().trained() {
        let grad = entry.tensor.grad();
        let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
        assert!(reached, "no gradient reaches `{}`", entry.name);
    }
}

#[test]
fn the_weights_of_a_file_give_the_same_latents() {
    let (autoencoder, folder) = (autoencoder(), tempfile::tempdir().unwrap());
    let path = folder.path().join("diffusion_pytorch_model.safetensors");
    autoencoder.parameters().save(&path, &Default::default()).unwrap();
    let loaded = AutoencoderKl::zeroed(&config(), Device::Cpu).unwrap();
    loaded.parameters().load_file(&path).unwrap();
    assert_eq!(loaded.encode(&images()).mean, autoencoder.encode(&images()).mean);
}

#[test]
fn a_prepared_autoencoder_answers_the_same() {
    let _no_grad = tch::no_grad_guard();
    let config = AutoencoderKlConfig { block_out_channels: vec![16; 4], ..config() };
    let autoencoder = AutoencoderKl::new(&config, &mut Noise::new(1), Device::Cpu).unwrap();
    let round_trip = || autoencoder.decode(&autoencoder.encode(&images()).mean);
    let before = round_trip();
    autoencoder.prepare();
    assert!(round_trip().allclose(&before, 1e-4, 1e-5, false));
}

#[test]
#[should_panic(expected = "this autoencoder needs [B, 3, H, W], height and width multiples of 8")]
fn images_that_cannot_be_halved_are_refused() {
    let _ = autoencoder().encode(&Noise::new(2).normal(&[1, 3, 16, 20]));
}
