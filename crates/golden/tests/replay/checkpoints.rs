//! Files of weights equal their twins, or are refused as their folder's list says.

use diffusion_core::tensor_file;
use golden::{Verdict, find_cases};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tch::Tensor;

fn write(path: &Path, values: &[f32], name: &str) {
    let metadata = BTreeMap::from([("case".to_owned(), "{}".to_owned())]);
    tensor_file::write(path, [(name, &Tensor::from_slice(values))], &metadata).unwrap();
}

/// The reports on the files of weights in a folder.
fn report(folder: &Path) -> Vec<String> {
    let files = find_cases(&[folder.into()]).unwrap();
    files.iter().map(|file| Verdict::of(file).line("case")).collect()
}

#[test]
fn a_file_must_equal_its_twin() {
    let folder = tempfile::tempdir().unwrap();
    let (file, twin) = ("a.bin", "a_bin.expected.safetensors");
    let [file, twin] = [file, twin].map(|name| folder.path().join(name));
    write(&twin, &[1.0, f32::NAN], "w");
    for (values, name, line) in [
        (&[1.0, f32::NAN], "w", "ok   case w 0.0e0 0e0"),
        (&[1.0, 2.0], "w", "FAIL case w inf 0e0"),
        (&[1.0, f32::NAN], "v", "FAIL case "),
    ] {
        write(&file, values, name);
        let lines = report(folder.path());
        assert!(lines.len() == 1 && lines[0].starts_with(line), "{lines:?}");
    }
}

#[test]
fn a_listed_file_must_have_its_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let list = r#"{"a.pkl": {"expect": "error"}, "b.bin": {"expect": "OUTCOME"}}"#;
    fs::write(folder.path().join("a.pkl"), b"cos\nsystem\n)R.").unwrap();
    write(&folder.path().join("b.bin"), &[1.0], "w");
    write(&folder.path().join("not_listed.safetensors"), &[1.0], "w");
    for (outcome, line) in [
        ("ok", "ok   case 1 tensors"),
        ("error", "FAIL case 1 tensors were read"),
        ("error or empty dictionary", "FAIL case 1 tensors were read"),
    ] {
        fs::write(folder.path().join("EXPECT.json"), list.replace("OUTCOME", outcome)).unwrap();
        let lines = report(folder.path());
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("ok   case byte 0: asks for `os.system`"), "{lines:?}");
        assert!(lines[1].starts_with(line), "{lines:?}");
    }
}
