//! What a hostile file may cost: no panic, no memory beyond its own size, no file left behind.
//!
//! The peak of the whole process is measured, so the tests of this binary run one after the other.

#[path = "checkpoints/assemble.rs"]
mod assemble;
#[path = "checkpoints/folder.rs"]
mod folder;

use assemble::View;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use weights::{Checkpoint, Limits, Result};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;
static TURN: Mutex<()> = Mutex::new(());

const MOST: usize = 64 << 20;

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Everything that can be asked of a file.
fn exhaust(file: Result<Checkpoint>) -> Result<usize> {
    let file = file?;
    for tensor in file.tensors() {
        file.read(&tensor.name)?;
    }
    file.values()?;
    for object in file.objects() {
        file.object(object)?;
    }
    for key in file.metadata().keys() {
        file.metadata_json(key)?;
    }
    Ok(file.tensors().len())
}

/// The result and the memory that it took beyond what was in use.
fn cost<T>(of: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = of();
    (result, MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn hostile_reference_files_end_as_promised() {
    let _turn = turn();
    let folder = folder::folder();
    let here = tempfile::tempdir().unwrap();
    std::env::set_current_dir(here.path()).unwrap();
    let folder = folder.join("hostile");
    let expected = fs::read(folder.join("EXPECT.json")).unwrap();
    let expected: Map<String, Value> = serde_json::from_slice(&expected).unwrap();
    for (name, expected) in &expected {
        let path = folder.join(name);
        let (result, bytes) = cost(|| exhaust(weights::open(&path)));
        assert!(bytes < MOST, "{name} took {bytes} bytes");
        match expected["expect"].as_str().unwrap() {
            "ok" => assert!(result.unwrap() > 0, "{name}"),
            _ => {
                let message = result.map_err(|error| error.to_string()).expect_err(name);
                assert!(message.contains(name), "{message}");
            }
        }
    }
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 0, "a file was left behind");
    assert_eq!(expected.len(), fs::read_dir(&folder).unwrap().count() - 2);
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
}

/// Files that ask for far more than they hold.
fn greedy() -> Vec<(&'static str, Vec<u8>)> {
    let view = view();
    let tensor = assemble::tensor(&view, 0, assemble::Style::Embedded);
    // Forty lists, each of the one before twice, the innermost with a tensor: 2^40 names.
    let mut doubled = [b"]q\x00", &tensor[..], b"a"].concat();
    for level in 0..40u8 {
        doubled.extend([b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
    }
    // The same with a dictionary of settings instead of the tensor, beside a tensor.
    let mut settings = b"}q\x00K\x01K\x02s".to_vec();
    for level in 0..40u8 {
        settings.extend([b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
    }
    let settings = assemble::dict(&[("w", tensor), ("settings", settings)]);
    let expanded = View { size: vec![1 << 40], stride: vec![0], ..view.clone() };
    let repeated = View { size: vec![(16 << 20) / 4], stride: vec![0], ..view };
    let names =
        (0..70_000).map(|i| format!(r#""{i}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#));
    let header = format!("{{{}}}", names.collect::<Vec<_>>().join(","));
    let names: Vec<_> = (0..60_000).map(|i| format!("{i}")).collect();
    let mut records: Vec<(&str, &[u8])> = names.iter().map(|name| (&**name, &b""[..])).collect();
    let object = assemble::pickle(b"}");
    records.push(("data.pkl", &object));
    let records = assemble::archive(&records);
    vec![
        ("doubled.pkl", assemble::pickle(&doubled)),
        ("settings.pkl", assemble::pickle(&settings)),
        ("expanded.pt", assemble::zip_file(&[expanded])),
        ("repeated.pt", assemble::zip_file(&[repeated])),
        ("lists.pkl", [b"\x80\x02", &[b']'; 20 << 20][..]].concat()),
        ("emptied.pkl", [b"\x80\x02", &b"]0".repeat(10 << 20)[..]].concat()),
        ("marks.pkl", [b"\x80\x02", &[b'('; 20 << 20][..]].concat()),
        ("memo.pkl", [b"\x80\x04N", &[0x94; 20 << 20][..]].concat()),
        ("none.pkl", [b"\x80\x02](", &[b'N'; 20 << 20][..], b"e."].concat()),
        ("texts.pkl", [b"\x80\x02", &b"U\x00".repeat(10 << 20)[..]].concat()),
        ("records.pt", records),
        ("header.safetensors", [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()),
    ]
}

fn view() -> View {
    let (name, size, stride) = ("w".into(), vec![2, 2], vec![2, 1]);
    View { name, class: "FloatStorage", item: 4, size, stride, offset: 0, storage: vec![7; 16] }
}

#[test]
fn greedy_files_stay_poor() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in greedy() {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let (result, bytes) = cost(|| exhaust(weights::open(&path)));
        assert!(bytes < MOST, "{name} took {bytes} bytes");
        let is_modest = ["repeated.pt", "header.safetensors"].contains(&name);
        assert_eq!(result.is_ok(), is_modest, "{name}: {result:?}");
    }
}

/// What the fuzzers start from and what they found: `fuzz/corpus/<target>/<file>`.
#[test]
fn the_corpus_of_the_fuzzers_costs_little() {
    let _turn = turn();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let Ok(targets) = fs::read_dir(corpus) else { return }; // a package has no such folder
    let mut count = 0;
    for target in targets.map(|target| target.unwrap().path()) {
        for path in fs::read_dir(&target).unwrap().map(|file| file.unwrap().path()) {
            let mut bytes = fs::read(&path).unwrap();
            if target.ends_with("archived_pickle") {
                let storages: [(&str, &[u8]); 2] = [("data/0", &[1; 16]), ("data/1", &[2; 64])];
                bytes = assemble::archive(&[&[("data.pkl", &bytes[..])], &storages[..]].concat());
            }
            let (_, cost) = cost(|| exhaust(Checkpoint::from_bytes("x", bytes, Limits::default())));
            assert!(cost < MOST, "{path:?} took {cost} bytes");
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn reading_a_tensor_takes_its_size() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.pt");
    let n = 8 << 20;
    let view = View { size: vec![n], stride: vec![1], storage: vec![0; 4 * n as usize], ..view() };
    fs::write(&path, assemble::zip_file(&[view])).unwrap();
    let (data, bytes) = cost(|| weights::open(&path).unwrap().read("w").unwrap());
    assert_eq!(data.bytes.len(), 32 << 20);
    assert!(bytes < (32 << 20) + (1 << 20), "{bytes}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    /// Good files with some bytes changed, removed or repeated: any answer is right, a panic or much memory is not.
    #[test]
    fn damaged_files_cost_little(
        format in 0usize..5,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5),
    ) {
        let _turn = turn();
        let views = [view(), View { name: "v".into(), size: vec![2], stride: vec![3], ..view() }];
        let mut bytes = match format {
            0 => assemble::zip_file(&views),
            1 => assemble::legacy_file(&views),
            2 => assemble::edm_file(&views),
            3 => assemble::pickle(&assemble::state_dict(&views, assemble::Style::Embedded)),
            _ => safetensors(),
        };
        for (place, byte, edit) in edits {
            let at = place.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => drop(bytes.drain(at..(at + usize::from(byte % 16)).min(bytes.len()))),
                _ => bytes.insert(at, byte),
            }
            if bytes.is_empty() {
                break;
            }
        }
        let (_, cost) = cost(|| exhaust(Checkpoint::from_bytes("x", bytes, Limits::default())));
        prop_assert!(cost < MOST, "{} bytes", cost);
    }
}

fn safetensors() -> Vec<u8> {
    let header =
        br#"{"__metadata__":{"a":"1"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#;
    [&(header.len() as u64).to_le_bytes()[..], header, &[0; 8]].concat()
}

#[test]
fn a_folder_and_a_missing_file_are_errors() {
    let missing = weights::open("no/such/file.pt").unwrap_err();
    assert!(missing.to_string().starts_with("no/such/file.pt: cannot be read"), "{missing}");
    assert!(weights::open(Path::new(env!("CARGO_MANIFEST_DIR"))).is_err());
}
