//! Every architecture, told from the list of its official state dict.

use serde_json::{Map, Value, json};
use std::path::Path;
use weights::{Dtype, Family, Mapped, NameMap, StateDictList, TensorInfo};

/// A list of `unet`, which builds these networks.
fn list(name: &str) -> StateDictList {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    StateDictList::open(&crates.join("unet/tests/state_dicts").join(name)).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Detects the list's architecture, which must be `family` with these fields, all others of `defaults` aside.
fn check(name: &str, family: &str, expected: Value) {
    let list = list(name);
    let found = Family::of(list.tensors()).unwrap().read(list.tensors(), &Map::new()).unwrap();
    assert_eq!(found.family, family, "{name}");
    assert_eq!(Value::Object(found.config), expected, "{name}");
}

fn with(base: &Value, changes: Value) -> Value {
    let mut base = object(base.clone());
    base.extend(object(changes));
    base.into()
}

#[test]
fn edm() {
    let ddpmpp = json!({
        "img_resolution": 32, "img_channels": 3, "label_dim": 0, "augment_dim": 9, "model_channels": 128,
        "channel_mult": [2, 2, 2], "channel_mult_emb": 4, "num_blocks": 4, "attn_resolutions": [16],
        "embedding_type": "positional", "channel_mult_noise": 1, "encoder_type": "standard",
        "decoder_type": "standard", "resample_filter": [1, 1], "dropout": 0.13, "label_dropout": 0.0,
    });
    let ncsnpp = with(
        &ddpmpp,
        json!({
            "embedding_type": "fourier", "channel_mult_noise": 2, "encoder_type": "residual",
            "resample_filter": [1, 3, 3, 1],
        }),
    );
    let large = json!({ "img_resolution": 64, "channel_mult": [1, 2, 2, 2], "dropout": 0.0 });
    check("edm_ddpmpp_cifar_uncond.txt", "song-unet", ddpmpp.clone());
    check("edm_ddpmpp_cifar_cond.txt", "song-unet", with(&ddpmpp, json!({ "label_dim": 10 })));
    check("edm_ddpmpp_64.txt", "song-unet", with(&ddpmpp, large.clone()));
    check("edm_ncsnpp_cifar_uncond.txt", "song-unet", ncsnpp.clone());
    check("edm_ncsnpp_cifar_cond.txt", "song-unet", with(&ncsnpp, json!({ "label_dim": 10 })));
    check("edm_ncsnpp_64.txt", "song-unet", with(&ncsnpp, large));
    let adm = json!({
        "img_resolution": 64, "img_channels": 3, "out_channels": 3, "label_dim": 1000, "augment_dim": 0,
        "model_channels": 192, "channel_mult": [1, 2, 3, 4], "channel_mult_emb": 4, "num_blocks": 3,
        "attn_resolutions": [32, 16, 8], "dropout": 0.1, "label_dropout": 0.0,
    });
    check("edm_adm_64_cond.txt", "dhariwal-unet", adm.clone());
    check("edm_iddpm_adm_64_cond.txt", "dhariwal-unet", with(&adm, json!({ "out_channels": 6 })));
}

#[test]
fn guided_diffusion() {
    let adm = json!({
        "in_channels": 3, "out_channels": 6, "model_channels": 192, "num_res_blocks": 3,
        "channel_mult": [1, 2, 3, 4], "attention_resolutions": [2, 4, 8], "num_classes": 1000,
        "use_scale_shift_norm": true, "resblock_updown": true, "conv_resample": true, "image_size": 64,
        "num_heads": 4, "num_head_channels": 64, "use_new_attention_order": true, "dropout": 0.1,
        "flavor": "guided-diffusion", "timestep_scale": 1.0,
    });
    let at_128 = json!({
        "model_channels": 256, "num_res_blocks": 2, "channel_mult": [1, 1, 2, 3, 4], "image_size": 128,
        "attention_resolutions": [4, 8, 16], "num_head_channels": -1, "use_new_attention_order": false,
        "dropout": 0.0,
    });
    let at_256 = json!({
        "model_channels": 256, "num_res_blocks": 2, "channel_mult": [1, 1, 2, 2, 4, 4], "image_size": 256,
        "attention_resolutions": [8, 16, 32], "use_new_attention_order": false, "dropout": 0.0,
    });
    let unconditional = with(&at_256, json!({ "num_classes": null }));
    let family = "guided-diffusion-unet";
    check("guided_diffusion_64_cond.txt", family, adm.clone());
    check("guided_diffusion_128_cond.txt", family, with(&adm, at_128));
    check("guided_diffusion_256_cond.txt", family, with(&adm, at_256));
    check("guided_diffusion_256_uncond.txt", family, with(&adm, unconditional.clone()));
    let changes = json!({
        "out_channels": 3, "dropout": 0.0, "flavor": "consistency-models", "timestep_scale": 1000.0,
    });
    let consistency = with(&adm, changes);
    let family = "consistency-models-unet";
    check("consistency_imagenet64.txt", family, consistency.clone());
    let lsun = json!({ "use_scale_shift_norm": false, "use_new_attention_order": true });
    check("consistency_lsun256.txt", family, with(&with(&consistency, unconditional), lsun));
}

#[test]
fn diffusers() {
    let common = json!({
        "norm_num_groups": 32, "flip_sin_to_cos": true, "freq_shift": 0, "downsample_padding": 1,
        "center_input_sample": false, "mid_block_scale_factor": 1, "act_fn": "silu", "norm_eps": 1e-5,
        "layers_per_block": 2,
    });
    let cifar = json!({
        "in_channels": 3, "out_channels": 3, "block_out_channels": [128, 256, 256, 256],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        "add_attention": true, "num_class_embeds": null, "sample_size": 32, "attention_head_dim": null,
        "norm_eps": 1e-6, "flip_sin_to_cos": false, "freq_shift": 1, "downsample_padding": 0,
        "time_embedding_type": "positional",
    });
    check("diffusers_ddpm_cifar10_32.txt", "unet-2d-model", with(&common, cifar));
    let (cross, down) = ("CrossAttnDownBlock2D", "DownBlock2D");
    let (cross_up, up) = ("CrossAttnUpBlock2D", "UpBlock2D");
    let sd15 = json!({
        "in_channels": 4, "out_channels": 4, "block_out_channels": [320, 640, 1280, 1280],
        "down_block_types": [cross, cross, cross, down], "up_block_types": [up, cross_up, cross_up, cross_up],
        "transformer_layers_per_block": [1, 1, 1, 1], "cross_attention_dim": 768,
        "use_linear_projection": false, "addition_embed_type": null, "addition_time_embed_dim": null,
        "projection_class_embeddings_input_dim": null, "time_cond_proj_dim": null,
        "attention_head_dim": 8, "sample_size": 64,
    });
    let sd15 = with(&common, sd15);
    check("diffusers_sd15_unet.txt", "unet-2d-condition-model", sd15.clone());
    let sdxl = json!({
        "block_out_channels": [320, 640, 1280], "down_block_types": [down, cross, cross],
        "up_block_types": [cross_up, cross_up, up], "transformer_layers_per_block": [1, 2, 10],
        "cross_attention_dim": 2048, "use_linear_projection": true, "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816,
        "attention_head_dim": [5, 10, 20], "sample_size": 128,
    });
    check("diffusers_sdxl_unet.txt", "unet-2d-condition-model", with(&sd15, sdxl));
    let vae = json!({
        "in_channels": 3, "out_channels": 3, "latent_channels": 4, "layers_per_block": 2,
        "block_out_channels": [128, 256, 512, 512], "mid_block_add_attention": true, "use_quant_conv": true,
        "use_post_quant_conv": true, "norm_num_groups": 32, "act_fn": "silu", "scaling_factor": 0.18215,
        "down_block_types": vec!["DownEncoderBlock2D"; 4], "up_block_types": vec!["UpDecoderBlock2D"; 4],
    });
    check("diffusers_sd_vae.txt", "autoencoder-kl", vae);
}

/// The fields of the network that a list is after `change`.
fn changed(
    name: &str,
    change: impl Fn(&mut TensorInfo),
    more: &[(&str, &[usize])],
) -> Map<String, Value> {
    let mut tensors = list(name).tensors().to_vec();
    tensors.iter_mut().for_each(change);
    let more = more.iter().map(|&(name, shape)| TensorInfo {
        name: name.into(),
        dtype: Dtype::F32,
        shape: shape.into(),
    });
    tensors.extend(more);
    Family::of(&tensors).unwrap().read(&tensors, &Map::new()).unwrap().config
}

#[test]
fn relatives_of_stable_diffusion() {
    let name = "diffusers_sd15_unet.txt";
    let with_open_clip = |tensor: &mut TensorInfo| {
        let is_text =
            ["attn2.to_k.weight", "attn2.to_v.weight"].iter().any(|end| tensor.name.ends_with(end));
        if is_text {
            tensor.shape[1] = 1024;
        } else if tensor.name.contains("attentions") && tensor.shape.len() == 4 {
            tensor.shape.truncate(2);
        }
    };
    let sd21 = changed(name, with_open_clip, &[]);
    assert_eq!(sd21["attention_head_dim"], json!([5, 10, 20, 20]));
    assert_eq!(
        (&sd21["use_linear_projection"], &sd21["cross_attention_dim"]),
        (&json!(true), &json!(1024))
    );
    let lcm = changed(name, |_| (), &[("time_embedding.cond_proj.weight", &[320, 256])]);
    assert_eq!((&lcm["time_cond_proj_dim"], &lcm["attention_head_dim"]), (&json!(256), &json!(8)));
}

#[test]
fn a_level_may_have_half_of_the_channels() {
    let halved = |tensor: &mut TensorInfo| {
        if tensor.name.starts_with("input_blocks.1.0.out_layers.3") {
            tensor.shape[0] /= 2;
        }
    };
    let mut tensors = list("consistency_lsun256.txt").tensors().to_vec();
    tensors.iter_mut().for_each(halved);
    let given = object(json!({ "image_size": 256, "num_heads": 4, "num_head_channels": 64 }));
    let found = Family::of(&tensors).unwrap().read(&tensors, &given).unwrap();
    assert_eq!(found.config["channel_mult"], json!([0.5, 1, 2, 2, 4, 4]));
}

#[test]
fn latents_and_equilibria() {
    let get = json!({
        "patch_size": 2, "input_size": 32, "in_channels": 3, "hidden_size": 256, "depth": 6, "deq_depth": 3,
        "mlp_ratio": 4, "deq_mlp_ratio": 6, "num_classes": 10, "num_heads": 4,
    });
    check("get_t_cond.txt", "get", get.clone());
    let small = json!({ "hidden_size": 512, "deq_mlp_ratio": 8, "num_heads": 8 });
    check("get_s_cond.txt", "get", with(&get, small));
    let encoder = json!({
        "image_size": 64, "latent_dim": 512, "channels": [64, 128, 128, 128], "attention_after": 1,
        "num_heads": 4,
    });
    check("pdae_encoder64.txt", "semantic-encoder", encoder);
    // Its heads are in no table: it is an example, not a published network.
    let list = list("sferd_shift_unet_cifar_example.txt");
    let family = Family::of(list.tensors()).unwrap();
    let asked = family.read(list.tensors(), &Map::new()).unwrap_err().to_string();
    assert!(asked.contains("num_heads"), "{asked}");
    let given = object(json!({ "num_heads": 4 }));
    let found = family.read(list.tensors(), &given).unwrap();
    let expected = json!({
        "input_channel": 3, "base_channel": 128, "channel_multiplier": [1, 2, 2, 2],
        "num_residual_blocks_of_a_block": 2, "attention_resolutions": [2], "latent_dim": 512, "num_heads": 4,
        "head_channel": -1, "use_new_attention_order": false, "dropout": 0.0,
    });
    assert_eq!(Value::Object(found.config), expected);
    assert_eq!(found.notes[0], "num_heads = 4 as given");
}

#[test]
fn the_latent_network() {
    let layer = |i: usize, from: usize| {
        [
            ("linear.weight", vec![48, from]),
            ("linear_emb.weight", vec![48, 12]),
            ("norm.weight", vec![48]),
        ]
        .map(|(part, shape)| (format!("layers.{i}.{part}"), shape))
    };
    let mut tensors: Vec<_> =
        [layer(0, 12), layer(1, 60), layer(2, 60)].into_iter().flatten().collect();
    tensors.extend([
        ("layers.3.linear.weight".to_owned(), vec![12, 60]),
        ("time_embed.0.weight".to_owned(), vec![12, 16]),
        ("time_embed.2.weight".to_owned(), vec![12, 12]),
    ]);
    let info = |(name, shape)| TensorInfo { name, dtype: Dtype::F32, shape };
    let tensors: Vec<_> = tensors.into_iter().map(info).collect();
    let found = Family::of(&tensors).unwrap().read(&tensors, &Map::new()).unwrap();
    let expected = json!({
        "input_channel": 12, "model_channel": 48, "num_layers": 4, "time_emb_channel": 16, "use_norm": true,
        "dropout": 0.0,
    });
    assert_eq!((found.family.as_str(), Value::Object(found.config)), ("mlp-skip-net", expected));
}

#[test]
fn what_shapes_do_not_tell_is_said() {
    let list = list("guided_diffusion_64_cond.txt");
    let family = Family::of(list.tensors()).unwrap();
    let given = object(json!({ "num_res_blocks": 2, "image_size": 96 }));
    let notes = family.read(list.tensors(), &given).unwrap_err().to_string();
    assert!(notes.contains("num_heads"), "two blocks fit no published network: {notes}");
    let given = object(json!({ "num_classes": 7, "image_size": 96 }));
    let given = family
        .read(
            list.tensors(),
            &with(
                &given.into(),
                json!({
                    "num_heads": 4, "num_head_channels": 64, "use_new_attention_order": true,
                }),
            )
            .as_object()
            .unwrap()
            .clone(),
        )
        .unwrap();
    assert_eq!(given.notes[0], "num_classes = 7 as given; the tensors say 1000");
    assert_eq!(given.notes[1], "image_size = 96 as given");
    assert!(
        given.notes.last().unwrap().contains("dropout = 0.0, which shapes do not tell, by default")
    );
    let unknown = family.read(list.tensors(), &object(json!({ "dropuot": 0 }))).unwrap_err();
    assert!(
        unknown.to_string().contains("no field `dropuot`; its fields are in_channels"),
        "{unknown}"
    );
}

#[test]
fn a_missing_tensor_is_named() {
    let list = list("guided_diffusion_64_cond.txt");
    let is_kept = |t: &&TensorInfo| t.name != "middle_block.0.emb_layers.1.weight";
    let tensors: Vec<_> = list.tensors().iter().filter(is_kept).cloned().collect();
    let error = Family::of(&tensors).unwrap().read(&tensors, &Map::new()).unwrap_err().to_string();
    assert!(
        error.contains("field `use_scale_shift_norm`: there is no tensor `middle_block"),
        "{error}"
    );
    let other = [TensorInfo { name: "fc.weight".into(), dtype: Dtype::F32, shape: vec![10, 10] }];
    let error = Family::of(&other).unwrap_err().to_string();
    assert!(error.contains("their names begin with [\"fc.weight\"]"), "{error}");
}

/// A safetensors file with the tensors of a list, all zero, that takes no space on disk.
fn empty_file(folder: &Path, list: &StateDictList) -> Mapped {
    let path = folder.join("list.safetensors");
    let (mut header, mut end) = (Map::new(), 0);
    for tensor in list.tensors() {
        let start = end;
        end += tensor.n_bytes();
        let entry = json!({ "dtype": tensor.dtype.to_string(), "shape": tensor.shape, "data_offsets": [start, end] });
        header.insert(tensor.name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header].concat();
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len((bytes.len() + end) as u64).unwrap();
    Mapped::new(weights::open(&path).unwrap())
}

#[test]
fn guided_diffusion_becomes_edm_name_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let pairs = [
        ("guided_diffusion_64_cond.txt", "edm_iddpm_adm_64_cond.txt"),
        ("consistency_imagenet64.txt", "edm_adm_64_cond.txt"),
    ];
    let map = NameMap::load("guided-diffusion-to-edm-adm").unwrap();
    for (source, target) in pairs {
        let source = list(source);
        let family = Family::of(source.tensors()).unwrap();
        let config = family.read(source.tensors(), &Map::new()).unwrap().config;
        let mapped = empty_file(folder.path(), &source).apply(&map, &config).unwrap();
        let differences = list(target).diff(mapped.tensors());
        // The table of noise levels belongs to the preconditioning, which guided-diffusion computes.
        let lines: Vec<_> = differences.iter().map(ToString::to_string).collect();
        let table = ["missing u [1001] float32".to_owned()];
        assert_eq!(lines, if target.contains("iddpm") { &table[..] } else { &[] });
        assert_eq!(
            mapped.origin("model.dec.16x16_up.conv1.bias"),
            Some("output_blocks.3.2.out_layers.3.bias")
        );
        let filter = mapped.read("model.enc.8x8_down.skip.resample_filter").unwrap();
        assert_eq!(filter.to_f32(), [0.25; 4]);
    }
}

#[test]
fn guided_diffusion_and_consistency_models_lead_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let (guided, consistency) = ("guided_diffusion_256_uncond.txt", "consistency_lsun256.txt");
    let (there, back) = (list(guided), list(consistency));
    let config = object(json!({ "use_new_attention_order": false, "num_head_channels": 64 }));
    let load = |name: &str| NameMap::load(name).unwrap();
    let mapped = empty_file(folder.path(), &there);
    let mapped = mapped.apply(&load("guided-diffusion-to-consistency-models"), &config).unwrap();
    // The published networks differ in the width of embeddings and in the channels of the result; their attention agrees.
    let is_attention = |line: &String| line.contains("qkv") || line.contains("proj_out");
    let lines = |list: &StateDictList, found: &[TensorInfo]| -> Vec<String> {
        list.diff(found).iter().map(ToString::to_string).filter(is_attention).collect()
    };
    assert_eq!(lines(&back, mapped.tensors()), [] as [String; 0]);
    assert!(!lines(&there, mapped.tensors()).is_empty());
    let mapped = mapped.apply(&load("consistency-models-to-guided-diffusion"), &config).unwrap();
    assert_eq!(there.diff(mapped.tensors()), []);
}
