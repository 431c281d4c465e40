//! What would change numbers and cannot be built is refused by name and value.

use serde_json::{Value, json};
use unet::{AutoencoderKlConfig, Error, Unet2dConditionConfig, Unet2dConfig};

fn merged(published: &str, changes: &Value) -> Value {
    let mut json: Value = serde_json::from_str(published).unwrap();
    json.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    json
}

fn unet_2d(changes: Value) -> Error {
    let json = merged(include_str!("configs/ddpm_cifar10_32.json"), &changes);
    serde_json::from_value::<Unet2dConfig>(json).unwrap().validate().unwrap_err()
}

fn condition(changes: Value) -> Error {
    let json = merged(include_str!("configs/sdxl_unet.json"), &changes);
    serde_json::from_value::<Unet2dConditionConfig>(json).unwrap().validate().unwrap_err()
}

fn autoencoder(changes: Value) -> Error {
    let json = merged(include_str!("configs/sd_vae.json"), &changes);
    serde_json::from_value::<AutoencoderKlConfig>(json).unwrap().validate().unwrap_err()
}

fn assert_names(error: &Error, field: &str, value: &str) {
    let message = error.to_string();
    assert!(message.contains(&format!("`{field}`")) && message.contains(value), "{message}");
}

#[test]
fn variants_that_are_not_built() {
    for (field, value) in [
        ("_class_name", json!("UNet2DConditionModel")),
        ("act_fn", json!("gelu")),
        ("time_embedding_type", json!("fourier")),
        ("class_embed_type", json!("timestep")),
        ("downsample_type", json!("resnet")),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
    ] {
        assert_names(&unet_2d(json!({field: value})), field, &value.to_string());
    }
    for (field, value) in [
        ("encoder_hid_dim_type", json!("text_proj")),
        ("addition_embed_type", json!("image")),
        ("mid_block_type", json!("UNetMidBlock2DSimpleCrossAttn")),
        ("resnet_out_scale_factor", json!(0.5)),
        ("conv_in_kernel", json!(5)),
        ("num_attention_heads", json!(8)),
        ("dual_cross_attention", json!(true)),
    ] {
        assert_names(&condition(json!({field: value})), field, &value.to_string());
    }
    assert_names(&autoencoder(json!({"latents_mean": [0.5]})), "latents_mean", "[0.5]");
}

#[test]
fn fields_that_are_unknown() {
    for error in [unet_2d, condition, autoencoder].map(|error| error(json!({"rotary": true}))) {
        assert!(matches!(&error, Error::UnknownField { field } if field == "rotary"), "{error}");
    }
}

#[test]
fn block_types_that_are_unknown() {
    let types = json!(["DownBlock2D", "SkipDownBlock2D", "DownBlock2D", "DownBlock2D"]);
    let error = unet_2d(json!({"down_block_types": types}));
    assert_names(&error, "down_block_types", "SkipDownBlock2D");
    let types = json!(["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"]);
    assert_names(&condition(json!({"up_block_types": types})), "up_block_types", "AttnUpBlock2D");
    let types = json!(["UpDecoderBlock2D"]);
    let error = autoencoder(json!({"up_block_types": types}));
    assert!(matches!(error, Error::WrongCount { field: "up_block_types", found: 1, expected: 4 }));
}

#[test]
fn lists_of_a_wrong_length() {
    let error = condition(json!({"attention_head_dim": [5, 10]}));
    assert!(matches!(
        error,
        Error::WrongCount { field: "attention_head_dim", found: 2, expected: 3 }
    ));
    let depths = json!({"transformer_layers_per_block": [[1, 1], [2, 2], [4, 4]]});
    let field = "reverse_transformer_layers_per_block";
    assert!(
        matches!(condition(depths), Error::MissingField { field: found, .. } if found == field)
    );
    let depths = json!({
        "transformer_layers_per_block": [[1, 1], [2, 2], [4, 4]],
        field: [[1, 1], [2, 2], [4, 4]]
    });
    assert!(matches!(condition(depths), Error::WrongCount { found: 2, expected: 3, .. }));
}

#[test]
fn numbers_that_do_not_fit() {
    let error = condition(json!({"norm_num_groups": 30}));
    assert_names(&error, "norm_num_groups", "`down_blocks.0.resnets.0` has 320 channels");
    let error = condition(json!({"attention_head_dim": 7}));
    assert_names(&error, "attention_head_dim", "`down_blocks.1.attentions.0` has 640 channels");
    let error = unet_2d(json!({"attention_head_dim": 100}));
    assert_names(&error, "attention_head_dim", "`down_blocks.1.attentions.0` has 256 channels");
    assert_names(
        &condition(json!({"addition_time_embed_dim": null})),
        "addition_time_embed_dim",
        "missing",
    );
    let error = condition(json!({"projection_class_embeddings_input_dim": 1536}));
    assert_names(&error, "projection_class_embeddings_input_dim", "1536");
    assert!(matches!(
        condition(json!({"time_cond_proj_dim": 255})),
        Error::OddEmbedding { channels: 255 }
    ));
    assert_names(&unet_2d(json!({"freq_shift": 64})), "freq_shift", "64");
    assert_names(&unet_2d(json!({"downsample_padding": 2})), "downsample_padding", "2");
    assert_names(&unet_2d(json!({"dropout": 1.0})), "dropout", "1");
    assert_names(&unet_2d(json!({"norm_eps": -1.0})), "norm_eps", "-1");
    assert_names(&condition(json!({"norm_eps": 0})), "norm_eps", "0");
    let widths = json!({"cross_attention_dim": [2048, 2048, 1024]});
    assert_names(&condition(widths), "cross_attention_dim", "[2048, 2048, 1024]");
    assert_names(&unet_2d(json!({"mid_block_scale_factor": 0})), "mid_block_scale_factor", "0");
    assert_names(&autoencoder(json!({"scaling_factor": -1.0})), "scaling_factor", "-1");
}

#[test]
fn more_blocks_than_any_memory_has_names_for() {
    assert_names(&unet_2d(json!({"layers_per_block": 129})), "layers_per_block", "129");
    assert_names(&autoencoder(json!({"layers_per_block": 1024})), "layers_per_block", "1024");
    let depths = json!({"layers_per_block": 128, "transformer_layers_per_block": 1024});
    assert_names(&condition(depths), "transformer_layers_per_block", "at most 4096");
}
