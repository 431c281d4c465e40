//! Layouts on small files: what they rename, what they refuse, and where they say their own mistakes are.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use weights::{Checkpoint, Dtype, Limits, Mapped, NameMap, TensorData, TensorInfo};

/// A file whose tensors count up from the number of their place.
fn file(tensors: &[(&str, &[usize])]) -> Mapped {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.safetensors");
    let info = |&(name, shape): &(&str, &[usize])| TensorInfo {
        name: name.into(),
        dtype: Dtype::U8,
        shape: shape.into(),
    };
    let infos: Vec<_> = tensors.iter().map(info).collect();
    let data = |tensor: &TensorInfo| {
        let first = infos.iter().position(|info| info == tensor).unwrap();
        Ok((first..first + tensor.numel()).map(|x| x as u8).collect())
    };
    weights::write_safetensors(&path, &infos, &BTreeMap::new(), data).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    Mapped::new(Checkpoint::from_bytes("file.safetensors", bytes, Limits::default()).unwrap())
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// The names and shapes that the file has under the layouts which apply by themselves.
fn automatic(tensors: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    let mut mapped = file(tensors);
    for map in NameMap::automatic(mapped.tensors()).unwrap() {
        mapped = mapped.apply(&map, &Map::new()).unwrap();
    }
    let mut names: Vec<_> =
        mapped.tensors().iter().map(|t| (t.name.clone(), t.shape.clone())).collect();
    names.sort();
    names
}

fn names(pairs: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
    pairs.iter().map(|&(name, shape)| (name.into(), shape.into())).collect()
}

#[test]
fn every_layout_of_the_crate_is_sound() {
    assert!(NameMap::names().count() >= 7);
    for name in NameMap::names() {
        assert!(!NameMap::load(name).unwrap().description().is_empty(), "{name}");
    }
}

#[test]
fn prefixes_and_old_names_go_by_themselves() {
    let attention = "down_blocks.1.attentions.0";
    let [query, key, out, bias] = ["query.weight", "key.bias", "proj_attn.weight", "norm.bias"]
        .map(|end| format!("{attention}.{end}"));
    let old: [(&str, &[usize]); 4] =
        [(&query, &[2, 2, 1, 1]), (&key, &[2]), (&out, &[2, 2]), (&bias, &[2])];
    let [to_q, to_k, to_out] =
        ["to_q.weight", "to_k.bias", "to_out.0.weight"].map(|end| format!("{attention}.{end}"));
    let new: [(&str, &[usize]); 4] =
        [(&bias, &[2]), (&to_k, &[2]), (&to_out, &[2, 2]), (&to_q, &[2, 2])];
    assert_eq!(automatic(&old), names(&new));

    let wrapped = [("module._orig_mod.a", &[1][..]), ("module.b", &[1])];
    assert_eq!(automatic(&wrapped), names(&[("a", &[1]), ("b", &[1])]));
    let bare = [("map_layer0.weight", &[1][..]), ("enc.8x8_conv.weight", &[1]), ("u", &[1])];
    let edm =
        [("model.enc.8x8_conv.weight", &[1][..]), ("model.map_layer0.weight", &[1]), ("u", &[1])];
    assert_eq!(automatic(&bare), names(&edm));
    let whole = [
        ("ema.model.map_layer0.weight", &[1][..]),
        ("ema.model.enc.8x8_conv.weight", &[1]),
        ("ema.u", &[1]),
    ];
    assert_eq!(automatic(&whole), names(&edm));
    assert_eq!(automatic(&edm), names(&edm), "what is right already stays");

    let twice = [("layers.0.cond_layers.1.weight", &[1][..]), ("layers.0.linear_emb.weight", &[1])];
    assert_eq!(automatic(&twice), names(&[("layers.0.linear_emb.weight", &[1])]));
}

#[test]
fn counters_are_left_out() {
    let identity = NameMap::load("identity").unwrap();
    let mapped = file(&[("bn.weight", &[1]), ("bn.num_batches_tracked", &[])]);
    let mapped = mapped.apply(&identity, &Map::new()).unwrap();
    assert_eq!(mapped.tensors().len(), 1);
    assert_eq!(mapped.dropped(), ["bn.num_batches_tracked"]);
}

/// A U-Net of guided-diffusion with attention alone, one head of two channels.
fn attention() -> Mapped {
    file(&[("middle_block.1.qkv.weight", &[6, 2, 1]), ("middle_block.1.qkv.bias", &[6])])
}

#[test]
fn rows_arrive_as_by_hand() {
    let config = json!({
        "image_size": 8, "channel_mult": [1, 2], "num_res_blocks": 1, "num_head_channels": 64, "num_heads": 1,
        "use_scale_shift_norm": true, "resblock_updown": true, "use_new_attention_order": true,
    });
    let map = NameMap::load("guided-diffusion-to-edm-adm").unwrap();
    // Two channels are less than a head of 64: say one head of two instead.
    let error = attention().apply(&map, &object(config.clone())).unwrap_err().to_string();
    assert!(error.contains("does not split into 0 heads"), "{error}");

    let text = r#"
        description = "as in guided-diffusion-to-edm-adm"
        [[rules]]
        name = '(?<path>.*)\.qkv\.(?<end>weight|bias)'
        to = "{path}.new.{end}"
        steps = [{ qkv = { from = "use_new_attention_order", to = "head-dim-3" } }]
    "#;
    let mut heads = object(config);
    heads.insert("num_head_channels".into(), json!(2));
    let mapped = attention().apply(&NameMap::parse("mine.toml", text).unwrap(), &heads).unwrap();
    // q0 q1 k0 k1 v0 v1 becomes q0 k0 v0 q1 k1 v1.
    let bias = mapped.read("middle_block.1.new.bias").unwrap();
    assert_eq!(bias.bytes, [1, 3, 5, 2, 4, 6]);
    let expected = TensorData {
        dtype: Dtype::U8,
        shape: vec![6, 2, 1],
        bytes: vec![0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11],
    };
    assert_eq!(mapped.read("middle_block.1.new.weight").unwrap(), expected);
}

#[test]
fn a_network_that_does_not_fit_is_refused() {
    let map = NameMap::load("guided-diffusion-to-edm-adm").unwrap();
    let apply = |config| attention().apply(&map, &object(config)).unwrap_err().to_string();
    let error = apply(json!({ "num_head_channels": -1 }));
    assert_eq!(
        error,
        "guided-diffusion-to-edm-adm.toml: is for networks with `num_head_channels` = 64; this one has -1"
    );
    let mut config =
        json!({ "num_head_channels": 64, "use_scale_shift_norm": true, "resblock_updown": true });
    assert!(apply(config.clone()).contains("needs `image_size`"));
    for (field, value) in
        [("image_size", json!(8)), ("channel_mult", json!([1, 2])), ("num_res_blocks", json!(1))]
    {
        config[field] = value;
    }
    assert!(apply(config.clone()).contains("give `use_new_attention_order`"));
    let foreign =
        file(&[("lora_up.weight", &[1])]).apply(&map, &object(config.clone())).unwrap_err();
    assert!(foreign.to_string().contains("no rule for the tensor `lora_up.weight`"), "{foreign}");
    let deeper = file(&[("input_blocks.9.0.in_layers.0.weight", &[1])]);
    let deeper = deeper.apply(&map, &object(config)).unwrap_err().to_string();
    assert!(deeper.contains("`9` is not in `encoder`, which has 0, 1, 2, 3"), "{deeper}");
}

#[test]
fn two_names_must_not_become_one() {
    let text = "description = ''\n[[rules]]\nname = '[ab]'\nto = 'c'";
    let map = NameMap::parse("mine.toml", text).unwrap();
    let error = file(&[("a", &[1]), ("b", &[1])]).apply(&map, &Map::new()).unwrap_err();
    assert_eq!(error.to_string(), "mine.toml: two tensors have the name `c`");
}

#[test]
fn mistakes_in_a_layout_have_a_file_and_a_line() {
    let error = |rule: &str| {
        let text = format!("description = 'x'\n\n[[rules]]\nname = 'a'\n{rule}\n");
        NameMap::parse("mine.toml", &text).unwrap_err().to_string()
    };
    let unknown = error("rotate = true");
    assert!(unknown.starts_with("mine.toml: line 5: unknown field `rotate`"), "{unknown}");
    let unknown = error("steps = [{ rotate = 2 }]");
    assert!(unknown.starts_with("mine.toml: line 5: unknown variant `rotate`"), "{unknown}");
    let unknown = error("steps = [{ qkv = { from = 'qkv', to = 'head-dim-3' } }]");
    assert!(unknown.starts_with("mine.toml: line 5: unknown variant `qkv`"), "{unknown}");
    assert!(error("to = '{b}'").starts_with("mine.toml: line 5: `{b}` is none of the names"));
    assert!(
        error("to = 'b'\ndrop = true").starts_with("mine.toml: line 4: a rule has either `to`")
    );
    assert!(error("to = [").starts_with("mine.toml: line "));
    assert!(error("[[rules]]\nname = '('").starts_with("mine.toml: line 6: regex parse error"));
    let error = NameMap::parse(
        "m.toml",
        "description = ''\n[sequences.s]\nlevels = 'coarsest'\nentries = []",
    );
    assert!(error.unwrap_err().to_string().contains("no `[sizes]`"));
}

#[test]
fn layouts_are_found_by_name_or_path() {
    let error = NameMap::load("edn").unwrap_err().to_string();
    assert!(
        error.starts_with("edn: is no layout; known are consistency-models-to-guided"),
        "{error}"
    );
    assert!(
        NameMap::load("no/such/file.toml")
            .unwrap_err()
            .to_string()
            .starts_with("no/such/file.toml: cannot be read")
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, "description = 'mine'").unwrap();
    assert_eq!(NameMap::load(path.to_str().unwrap()).unwrap().description(), "mine");
}
