//! Modules of TorchScript: names, attributes, and what is refused.

use crate::assemble::{self, Style, View};
use crate::folder::folder;
use serde_json::{Value, json};
use weights::{Checkpoint, Format, Limits};

fn open(name: &str) -> weights::Result<Checkpoint> {
    weights::open(folder().join("torchscript").join(name))
}

fn from_bytes(bytes: Vec<u8>) -> weights::Result<Checkpoint> {
    Checkpoint::from_bytes("file.pt", bytes, Limits::default())
}

/// An object of a class of TorchScript.
fn object(class: &str, state: &[u8]) -> Vec<u8> {
    let (module, name) = class.rsplit_once('.').unwrap();
    [format!("c{module}\n{name}\n").as_bytes(), b")\x81", state, b"b"].concat()
}

#[test]
fn attributes_are_there_beside_the_tensors() {
    let file = open("scripted.pt").unwrap();
    assert_eq!((file.format(), file.sections()), (Format::TorchScript, vec![]));
    let leaf = file.object("leaf").unwrap();
    assert_eq!(leaf.class, "__torch__.Leaf");
    let expected = json!({
        "training": false, "bias": null, "n": 3, "large": 1i64 << 40, "eps": 1e-3, "name": "leaf",
        "sizes": [1, 2], "scales": [0.25, 2.0], "flags": [true, false], "words": ["a", "b"],
        "labels": {"1": "one"}, "missing": null, "device": "cpu", "color": 2, "complex": [1.0, 2.0],
        "tensors": [{"tensor": "F32[1]"}, {"tensor": "BF16[2]"}],
        "named": {"k": {"tensor": "BOOL[3]"}},
        "pair": [{"tensor": "I64[2]"}, 4],
    });
    assert_eq!(Value::Object(leaf.attributes), expected);
    assert!(file.values().unwrap().is_empty(), "what a network holds is no value of the file");
    assert_eq!(file.within("layers").unwrap().tensors()[0].name, "0.weight");
}

#[test]
fn modules_that_are_shared_share_their_tensors() {
    let file = open("scripted.pt").unwrap();
    let [tied, first] = ["tied", "layers.0"].map(|name| file.within(name).unwrap());
    for name in ["weight", "bias"] {
        assert_eq!(tied.read(name).unwrap(), first.read(name).unwrap());
    }
    let weight = file.read("layers.0.weight").unwrap();
    assert_eq!(file.read("view").unwrap().bytes, weight.bytes[8..]);
}

#[test]
fn what_has_no_names_or_no_numbers_is_refused() {
    for (name, message) in [
        ("frozen.pt", "holds its 4 tensors as constants of its code"),
        ("quantized.pt", "C++ class `__torch__.torch.classes.quantized.LinearPackedParamsBase`"),
        ("quantized_tensor.pt", "a quantized tensor is not read"),
        ("sparse_tensor.pt", "a sparse tensor is not read"),
        ("own_state.pt", "the object of class `__torch__.OwnState` saves itself by a method"),
    ] {
        let error = open(name).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(message), "{error}");
    }
    let old = from_bytes(assemble::archive(&[("model.json", b"{}"), ("tensors/0", b"")]));
    assert!(old.unwrap_err().to_string().contains("TorchScript module from before PyTorch 1.4"));
}

#[test]
fn code_is_left_unread() {
    let storage = vec![0, 0, 0x80, 0x3f];
    let (size, stride) = (vec![1], vec![1]);
    let name = String::new();
    let view = View { name, class: "FloatStorage", item: 4, size, stride, offset: 0, storage };
    let weight = assemble::dict(&[("weight", assemble::tensor(&view, 0, Style::Zip))]);
    let layer = object("__torch__.torch.nn.modules.linear.___torch_mangle_7.Linear", &weight);
    let net = object("__torch__.Net", &assemble::dict(&[("training", vec![0x89]), ("fc", layer)]));
    let pickle = assemble::pickle(&net);
    let records: [(&str, &[u8]); 5] = [
        ("data.pkl", &pickle),
        ("data/0", &view.storage),
        ("code/__torch__.py", b"import os; os.system('touch pwned')"),
        ("code/__torch__.py.debug_pkl", b"cos\nsystem\n."),
        ("constants.pkl", b"cos\nsystem\n."),
    ];
    let file = from_bytes(assemble::archive(&records)).unwrap();
    assert_eq!(file.read("fc.weight").unwrap().to_f32(), [1.0]);
    assert_eq!(file.object("").unwrap().class, "__torch__.Net");
}

#[test]
fn a_network_with_its_source_text_may_be_the_whole_file() {
    let storage = vec![0, 0, 0x80, 0x3f];
    let (name, size, stride) = ("layers.conv.weight".into(), vec![1], vec![1]);
    let view = View { name, class: "FloatStorage", item: 4, size, stride, offset: 0, storage };
    let network = assemble::network(&assemble::state_dict(&[view], Style::Embedded));
    let file = from_bytes(assemble::pickle(&network)).unwrap();
    assert_eq!(file.format(), Format::Pickle);
    assert_eq!(file.read("layers.conv.weight").unwrap().to_f32(), [1.0]);
    assert!(file.object("").unwrap().init_args.is_empty());
}
