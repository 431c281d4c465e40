//! What is wrong with a file is said, with its name and the place.

use crate::assemble::{self, Style, View};
use weights::{Checkpoint, Limits, Result};

fn open(name: &str, bytes: impl Into<Vec<u8>>) -> Result<Checkpoint> {
    Checkpoint::from_bytes(name, bytes.into(), Limits::default())
}

/// The message for a file that must be refused.
fn refused(bytes: impl Into<Vec<u8>>) -> String {
    let message = open("some/file", bytes).unwrap_err().to_string();
    assert!(message.starts_with("some/file: "), "{message}");
    message["some/file: ".len()..].into()
}

fn view() -> View {
    let (name, size, stride) = ("w".into(), vec![2, 2], vec![2, 1]);
    View { name, class: "FloatStorage", item: 4, size, stride, offset: 0, storage: vec![0; 16] }
}

fn pickled(view: &View) -> Vec<u8> {
    assemble::pickle(&assemble::state_dict(std::slice::from_ref(view), Style::Zip))
}

#[test]
fn files_of_no_known_kind() {
    for (bytes, message) in [
        (&b""[..], "the file is empty"),
        (b"<html>404 Not Found</html>", "begins with \"<html>404 Not Fo\""),
        (b"cos\nsystem\n(S'true'\ntR.", "byte 0: asks for `os.system`"),
        (b"(S'true'\nios\nsystem\n.", "byte 1: instruction STRING is refused"),
        (b"\x80\x02}.", "holds no tensor"),
    ] {
        let found = refused(bytes);
        assert!(found.starts_with(message), "{found}");
    }
}

#[test]
fn archives() {
    let object = pickled(&view());
    let data = [0; 16];
    type Records<'r> = &'r [(&'r str, &'r [u8])];
    let cases: [(Records<'_>, &str); 7] = [
        (&[("version", b"3")], "without a record `data.pkl`"),
        (&[("data.pkl", &object)], "storage `0` is used by a tensor and not in the file"),
        (&[("data.pkl", &object), ("data/0", &data[..15])], "with 16 bytes and has 15"),
        (&[("data.pkl", &object), ("../0", &data)], "a record named \"archive/../0\""),
        (&[("data.pkl", &object), ("byteorder", b"big")], "big-endian"),
        (&[("data.pkl", b"\x80\x02cos\nsystem\n.")], "asks for `os.system`"),
        (&[("data.pkl", b"\x80\x02}.")], "holds no tensor"),
    ];
    for (records, message) in cases {
        let found = refused(assemble::archive(records));
        assert!(found.contains(message), "{found}");
    }
    let good = assemble::zip_file(&[view()]);
    assert!(open("good", good.clone()).is_ok());
    assert!(refused(&good[..good.len() / 2]).contains("no readable zip archive"));
}

#[test]
fn legacy_files() {
    let good = assemble::legacy_file(&[view()]);
    assert!(open("good", good.clone()).is_ok());
    assert!(refused(&good[..good.len() - 1]).contains("declared with 16 bytes and has 15"));
    assert!(refused(&good[..40]).contains("truncated"));
    let missing = assemble::legacy(&assemble::state_dict(&[view()], Style::Legacy), &[]);
    assert!(refused(missing).contains("storage `0` is used by a tensor and not in the file"));
    let extra = assemble::legacy(b"}", &[("k".into(), view())]);
    assert!(refused(extra).contains("lists a storage `k` that no tensor uses"));
    let mut shorter = view();
    shorter.storage.truncate(12);
    let conflict =
        assemble::legacy(&assemble::state_dict(&[view()], Style::Legacy), &[("0".into(), shorter)]);
    assert!(refused(conflict).contains("declared with 16 bytes and has 12"));
}

#[test]
fn a_pickle_has_no_storages_outside_of_itself() {
    assert!(refused(pickled(&view())).contains("storage `0` is used by a tensor and not in"));
}

#[test]
fn an_embedded_storage_is_the_last_level() {
    let inner = assemble::tensor(&view(), 0, Style::Embedded);
    let file = assemble::legacy(&inner, &[]);
    let length = (file.len() as u32).to_le_bytes();
    let call = b"ctorch.storage\n_load_from_bytes\nB";
    let outer = [&call[..], &length, &file, b"\x85R"].concat();
    let found = refused(assemble::pickle(&outer));
    assert!(found.contains("a storage inside of an embedded storage"), "{found}");
}

#[test]
fn names_that_lead_nowhere_or_to_two_tensors() {
    let tensor = assemble::tensor(&view(), 0, Style::Embedded);
    let list = |inner: &[u8]| assemble::pickle(inner);
    let cyclic = [b"]q\x00", &tensor[..], b"ah\x00a"].concat();
    assert!(refused(list(&cyclic)).contains("`1` contains itself"));
    let deep = [&vec![b']'; 101][..], &tensor, &[b'a'; 101]].concat();
    assert!(refused(list(&deep)).contains("below more than 100 containers"));
    let key = [b"})", &tensor[..], b"s"].concat();
    assert!(refused(list(&key)).contains("has a key that is a tuple"));
    let inner = assemble::dict(&[("b", tensor.clone())]);
    let twice = assemble::dict(&[("a.b", tensor), ("a", inner)]);
    assert!(refused(list(&twice)).contains("two tensors have the name `a.b`"));
}

#[test]
fn names_that_are_asked_for() {
    let file = open("f.pkl", assemble::edm_file(&[view()])).unwrap();
    let message = |result: Result<_>| result.map(|_: ()| ()).unwrap_err().to_string();
    let unknown = message(file.read("ema.v").map(drop));
    assert_eq!(unknown, "f.pkl: has no tensor `ema.v`; nearest is `ema.w`");
    assert!(message(file.within("net").map(drop)).contains("below `net`; it has [\"ema\"]"));
    assert!(message(file.object("net").map(drop)).contains("no object `net`; it has [\"ema\"]"));
    assert!(message(file.metadata_json("config").map(drop)).contains("no metadata `config`"));
    let short = message(file.read_into("ema.w", &mut [0; 15]));
    assert!(short.contains("`ema.w` has 16 bytes, and 15 were given"), "{short}");
}

#[test]
fn a_truth_value_is_0_or_1() {
    let view = View { class: "BoolStorage", item: 1, storage: vec![0, 1, 2, 1], ..view() };
    let file = open("f.pt", assemble::zip_file(&[view])).unwrap();
    let found = file.read("w").unwrap_err().to_string();
    assert_eq!(found, "f.pt: tensor `w` has a truth value of 2; it must be 0 or 1");
}

#[test]
fn metadata_that_is_no_json() {
    let header = br#"{"__metadata__":{"case":"{\"a\": NaN}"}}"#;
    let file = [&(header.len() as u64).to_le_bytes()[..], header].concat();
    let file = open("f.safetensors", file).unwrap();
    let found = file.metadata_json("case").unwrap_err().to_string();
    assert!(found.starts_with("f.safetensors: metadata `case` is no JSON: expected"), "{found}");
}
