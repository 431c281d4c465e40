//! The example that imports published weights, from end to end on small files of every format.

#[path = "../crates/weights/tests/checkpoints/assemble.rs"]
mod assemble;
#[path = "../examples/05_import_checkpoint/main.rs"]
#[expect(dead_code, reason = "its `main` is not run")]
mod example;

use assemble::View;
use clap::Parser;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A tensor that counts up.
fn view(name: &str, size: &[i64]) -> View {
    let numel: i64 = size.iter().product();
    let storage = (0..numel).flat_map(|x| (x as f32 / 4.0).to_le_bytes()).collect();
    let mut stride = vec![1; size.len()];
    for axis in (1..size.len()).rev() {
        stride[axis - 1] = stride[axis] * size[axis];
    }
    View {
        name: name.into(),
        class: "FloatStorage",
        item: 4,
        size: size.into(),
        stride,
        offset: 0,
        storage,
    }
}

/// What of a small DDPM++ its sizes are read from.
fn ddpmpp() -> Vec<View> {
    [
        ("model.map_layer0.weight", &[16, 4][..]),
        ("model.map_label.weight", &[4, 3]),
        ("model.enc.8x8_conv.weight", &[4, 3, 3, 3]),
        ("model.enc.8x8_block0.conv1.weight", &[4, 4, 3, 3]),
        ("model.enc.4x4_down.conv0.resample_filter", &[1, 1, 2, 2]),
        ("model.enc.4x4_block0.conv1.weight", &[8, 8, 3, 3]),
        ("model.enc.4x4_block0.qkv.weight", &[24, 8, 1, 1]),
        ("model.dec.8x8_aux_conv.weight", &[3, 4, 3, 3]),
    ]
    .map(|(name, size)| view(name, size))
    .into()
}

/// What of a small network of guided-diffusion its sizes are read from.
fn guided() -> Vec<View> {
    [
        ("time_embed.0.weight", &[16, 4][..]),
        ("input_blocks.0.0.weight", &[4, 3, 3, 3]),
        ("input_blocks.1.0.out_layers.3.weight", &[4, 4, 3, 3]),
        ("input_blocks.3.0.out_layers.3.weight", &[8, 8, 3, 3]),
        ("input_blocks.3.1.qkv.weight", &[24, 8, 1]),
        ("middle_block.0.in_layers.0.weight", &[8]),
        ("middle_block.0.emb_layers.1.weight", &[16, 16]),
        ("middle_block.0.out_layers.3.weight", &[8, 8, 3, 3]),
        ("middle_block.1.qkv.weight", &[24, 8, 1]),
        ("output_blocks.1.1.in_layers.0.weight", &[8]),
        ("out.2.weight", &[6, 4, 3, 3]),
    ]
    .map(|(name, size)| view(name, size))
    .into()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn with(self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), bytes).unwrap();
        self
    }

    /// Imports in this folder, whole networks or not: whether all is well, and the report.
    fn import(&self, arguments: &str) -> (Result<bool, String>, String) {
        self.import_whole(&format!("{arguments} --partial"))
    }

    /// The same for networks that can be loaded.
    fn import_whole(&self, arguments: &str) -> (Result<bool, String>, String) {
        let place = |word: &str| match word.rsplit_once('.') {
            Some((_, "pkl" | "pt" | "pth" | "safetensors" | "txt" | "json" | "toml")) => {
                self.path(word).to_str().unwrap().to_owned()
            }
            _ => word.to_owned(),
        };
        let words =
            ["import_checkpoint".to_owned()].into_iter().chain(arguments.split(' ').map(place));
        let args = example::Args::try_parse_from(words).unwrap();
        let mut report = Vec::new();
        let outcome = example::run(&args, &mut report).map_err(|error| format!("{error:#}"));
        (outcome, String::from_utf8(report).unwrap())
    }

    fn fails(&self, arguments: &str) -> String {
        self.import(arguments).0.unwrap_err()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn every_format_becomes_the_same_file() {
    let folder = Folder::new()
        .with("edm.pkl", assemble::edm_file(&ddpmpp()))
        .with("edm.pt", assemble::zip_file(&ddpmpp()))
        .with("edm.pth", assemble::legacy_file(&ddpmpp()));
    for name in ["pkl", "pt", "pth"] {
        let (outcome, report) = folder.import(&format!("edm.{name} --out {name}.safetensors"));
        assert_eq!(outcome, Ok(true));
        assert!(report.contains("architecture  song-unet, EDM's SongUNet"), "{report}");
        assert!(report.contains("CC BY-NC-SA 4.0, not for commercial use"), "{report}");
    }
    let (outcome, report) = folder.import("pkl.safetensors --out again.safetensors");
    assert_eq!(outcome, Ok(true), "{report}");
    assert!(report.contains("note          preconditioning = edm, by default"), "{report}");
    let read = |name: &str| weights::open(folder.path(name)).unwrap();
    let first = read("pkl.safetensors");
    assert_eq!(first.tensors().len(), 8);
    for name in ["pt.safetensors", "pth.safetensors", "again.safetensors"] {
        let other = read(name);
        assert_eq!(first.tensors(), other.tensors());
        for tensor in first.tensors() {
            assert_eq!(first.read(&tensor.name).unwrap(), other.read(&tensor.name).unwrap());
        }
    }
    let expected = json!({
        "architecture": {
            "kind": "song-unet", "img_resolution": 8, "img_channels": 3, "label_dim": 3, "augment_dim": 0,
            "model_channels": 4, "channel_mult": [1, 2], "channel_mult_emb": 4, "num_blocks": 1,
            "attn_resolutions": [4], "embedding_type": "positional", "channel_mult_noise": 1,
            "encoder_type": "standard", "decoder_type": "standard", "resample_filter": [1, 1], "dropout": 0.0,
            "label_dropout": 0.0,
        },
        "preconditioning": { "kind": "edm" },
    });
    assert_eq!(folder.json("pkl.json"), expected);
    assert_eq!(first.metadata_json("config").unwrap(), expected);
    assert_eq!(first.metadata()["source"], "edm.pkl");
    // What the file says is a model's configuration as `unet` reads it.
    serde_json::from_value::<unet::ModelConfig>(expected).unwrap();
}

#[test]
fn numbers_are_rounded_as_asked() {
    let folder = Folder::new().with("edm.pt", assemble::zip_file(&ddpmpp()));
    for (dtype, bits) in [("f16", "F16"), ("bf16", "BF16"), ("keep", "F32")] {
        assert_eq!(
            folder.import(&format!("edm.pt --out {dtype}.safetensors --dtype {dtype}")).0,
            Ok(true)
        );
        let file = weights::open(folder.path(&format!("{dtype}.safetensors"))).unwrap();
        assert!(file.tensors().iter().all(|tensor| tensor.dtype.to_string() == bits));
        assert_eq!(file.read("model.map_label.weight").unwrap().to_f32()[..3], [0.0, 0.25, 0.5]);
    }
}

#[test]
fn what_tensors_do_not_tell_is_asked_for() {
    let folder = Folder::new().with("gd.pt", assemble::zip_file(&guided()));
    let asked = folder.fails("gd.pt --out gd.safetensors");
    assert!(
        asked.contains(
            "image_size, num_heads, num_head_channels, use_new_attention_order cannot be read"
        ),
        "{asked}"
    );
    assert_eq!(folder.names(), ["gd.pt"]);
    let set = "--set image_size=16 --set num_heads=2 --set num_head_channels=-1 --set use_new_attention_order=false";
    let (outcome, report) = folder.import(&format!("gd.pt --out gd.safetensors {set}"));
    assert_eq!(outcome, Ok(true));
    assert!(report.contains("note          num_heads = 2 as given"), "{report}");
    let architecture = &folder.json("gd.json")["architecture"];
    assert_eq!(architecture["attention_resolutions"], json!([2]));
    assert_eq!(architecture["kind"], "guided-unet");
    assert_eq!(architecture["flavor"], "guided-diffusion");
    assert_eq!(folder.json("gd.json").get("preconditioning"), None);
    assert!(
        report.contains("note          preconditioning = unknown, which the file does not say"),
        "{report}"
    );
    // The other order of rows: heads of four channels.
    let layout = "--layout guided-diffusion-to-consistency-models";
    let (outcome, report) = folder.import(&format!("gd.pt --out cm.safetensors {layout} {set}"));
    assert_eq!(outcome, Ok(true), "{report}");
    let cm = weights::open(folder.path("cm.safetensors")).unwrap();
    assert!(cm.metadata()["license"].starts_with("OpenAI's code is MIT"));
    let rows = cm.read("middle_block.1.qkv.weight").unwrap();
    assert_eq!(rows.shape, [24, 8, 1, 1]);
    let first = |row: usize| rows.to_f32()[row * 8] * 4.0 / 8.0;
    // Of (head, 3, dim) the fifth row is k of the first head; of (3, head, dim) it is q of the second, once row 12.
    assert_eq!([first(0), first(4), first(8)], [0.0, 12.0, 4.0]);
}

#[test]
fn the_preconditioning_is_said_or_read_from_a_scheduler() {
    let scheduler = json!({
        "_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "prediction_type": "v_prediction",
    });
    let folder = Folder::new()
        .with("edm.pt", assemble::zip_file(&ddpmpp()))
        .with("scheduler_config.json", scheduler.to_string());
    let read = |arguments: &str| {
        let (outcome, report) =
            folder.import(&format!("edm.pt --out x.safetensors --force {arguments}"));
        assert_eq!(outcome, Ok(true), "{report}");
        folder.json("x.json")["preconditioning"].clone()
    };
    let found = read("--scheduler scheduler_config.json");
    assert_eq!(found["kind"], "discrete");
    assert_eq!(found["prediction"], "v_prediction");
    assert_eq!(found["process"]["beta_schedule"], "scaled_linear");
    assert_eq!(read("--preconditioning ve")["kind"], "ve");
    let boundary = read(r#"--preconditioning {"kind":"boundary","sigma_min":0.01}"#);
    assert_eq!(boundary["sigma_min"], 0.01);
    let unknown = folder.fails("edm.pt --out x.safetensors --force --preconditioning edn");
    assert!(unknown.contains("`--preconditioning edn` is none"), "{unknown}");
}

#[test]
fn a_pickle_knows_the_numbers_of_its_preconditioning() {
    let mut pickle = assemble::edm_file(&ddpmpp());
    let usual = 0.5f64.to_be_bytes();
    let place = pickle.windows(8).position(|bytes| bytes == usual).unwrap();
    pickle[place..place + 8].copy_from_slice(&0.25f64.to_be_bytes());
    let folder = Folder::new().with("edm.pkl", &pickle);
    assert_eq!(folder.import("edm.pkl --out x.safetensors").0, Ok(true));
    let expected = json!({ "kind": "edm", "sigma_data": 0.25 });
    assert_eq!(folder.json("x.json")["preconditioning"], expected);
    pickle[place..place + 8].copy_from_slice(&(-0.5f64).to_be_bytes());
    let folder = folder.with("edm.pkl", &pickle);
    let error = folder.fails("edm.pkl --out y.safetensors");
    assert!(error.contains("`sigma_data` is -0.5"), "{error}");
}

#[test]
fn no_field_of_a_published_configuration_is_lost() {
    let folder = Folder::new()
        .with("edm.pt", assemble::zip_file(&ddpmpp()))
        .with("config.json", r#"{"dropout": 0.25, "resnet_out_scale_factor": 2.0}"#);
    let (outcome, report) = folder.import("edm.pt --out x.safetensors --config config.json");
    assert_eq!(outcome, Ok(true), "{report}");
    assert!(
        report
            .contains("outline       the configuration is none of the architecture: unknown field"),
        "{report}"
    );
    let architecture = &folder.json("x.json")["architecture"];
    assert_eq!(architecture["dropout"], 0.25);
    assert_eq!(architecture["resnet_out_scale_factor"], 2.0);
    let error = unet::load(&folder.path("x.safetensors"), tch::Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("unknown field `resnet_out_scale_factor`"), "{error}");
}

#[test]
fn a_layout_makes_a_network_known() {
    let views =
        ddpmpp().into_iter().map(|v| View { name: format!("generator.{}", &v.name[6..]), ..v });
    let views: Vec<_> = views.collect();
    let layout =
        "description = 'mine'\n[[rules]]\nname = 'generator\\.(?<n>.*)'\nto = 'model.{n}'\n";
    let folder =
        Folder::new().with("mine.pt", assemble::zip_file(&views)).with("mine.toml", layout);
    assert!(folder.fails("mine.pt --dry-run").contains("none of the known architectures"));
    let (outcome, report) =
        folder.import("mine.pt --out x.safetensors --layout mine.toml --set dropout=0.25");
    assert_eq!(outcome, Ok(true), "{report}");
    assert_eq!(folder.json("x.json")["architecture"]["dropout"], 0.25);
}

#[test]
fn a_list_tells_every_difference() {
    let list = "model.map_layer0.weight [16, 4] float32\nmodel.map_label.weight [4, 9] float32\nu [1001] float32\n";
    let folder =
        Folder::new().with("edm.pkl", assemble::edm_file(&ddpmpp())).with("list.txt", list);
    let (outcome, report) = folder.import("edm.pkl --list list.txt --out x.safetensors");
    assert_eq!(outcome, Ok(false));
    let lines: Vec<_> =
        report.lines().filter(|line| line.contains("issing") || line.contains("match")).collect();
    let expected = [
        "mismatched model.map_label.weight: [4, 9] float32 in the list, [4, 3] float32 found",
        "missing u [1001] float32",
    ];
    assert_eq!(lines, expected);
    assert_eq!(report.lines().filter(|line| line.starts_with("unexpected ")).count(), 6);
    assert_eq!(folder.names(), ["edm.pkl", "list.txt"]);
    let same: String =
        ddpmpp().iter().map(|v| format!("{} {:?} float32\n", v.name, v.size)).collect();
    let folder = folder.with("same.txt", same);
    assert_eq!(folder.import("edm.pkl --list same.txt").0, Ok(true));
    let folder = folder.with("other.pt", assemble::zip_file(&[view("fc.weight", &[2])]));
    let folder = folder.with("other.txt", "fc.weight [2] float32");
    assert_eq!(folder.import("other.pt --list other.txt").0, Ok(true), "of no known architecture");
}

#[test]
fn parts_of_a_file_are_chosen() {
    let (a, b) = (assemble::state_dict(&ddpmpp(), assemble::Style::Embedded), [view("w", &[1])]);
    let b = assemble::state_dict(&b, assemble::Style::Embedded);
    let two = assemble::pickle(&assemble::dict(&[("net", a.clone()), ("other", b.clone())]));
    let ema = assemble::pickle(&assemble::dict(&[("net", b), ("ema", a)]));
    let folder = Folder::new().with("two.pt", two).with("ema.pt", ema);
    let several = folder.fails("two.pt --dry-run");
    assert!(several.ends_with("choose one with --key: net, other"), "{several}");
    assert_eq!(folder.import("two.pt --dry-run --key net").0, Ok(true));
    assert!(folder.fails("two.pt --dry-run --key nets").contains("no tensors below `nets`"));
    assert!(folder.import("ema.pt --dry-run").1.contains("network       ema\n"));
    assert!(
        folder.fails("two.pt --dry-run --key other").contains("none of the known architectures")
    );
    assert_eq!(folder.names(), ["ema.pt", "two.pt"]);
}

#[test]
fn what_fails_leaves_nothing_behind() {
    let mut file = assemble::zip_file(&ddpmpp());
    let folder = Folder::new().with("good.pt", &file);
    file.truncate(file.len() / 2);
    let folder = folder.with("half.pt", file);
    assert!(folder.fails("half.pt --out x.safetensors").contains("half.pt"));
    assert!(folder.fails("none.pt --out x.safetensors").contains("none.pt: cannot be read"));
    assert!(folder.fails("good.pt --out x.json").contains("must end in .safetensors"));
    assert!(folder.fails("good.pt --out no/x.safetensors").contains("cannot be read or written"));
    assert!(
        folder
            .fails("good.pt --out x.safetensors --layout nope")
            .contains("is no layout; known are")
    );
    assert!(
        folder
            .fails("good.pt --out x.safetensors --arch nope")
            .contains("is no architecture; known are")
    );
    assert!(
        folder.fails("good.pt --out x.safetensors --set dropout").contains("is not FIELD=VALUE")
    );
    assert!(
        folder.fails("good.pt --out x.safetensors --set heads=4").contains("has no field `heads`")
    );
    assert_eq!(folder.names(), ["good.pt", "half.pt"]);
    assert_eq!(folder.import("good.pt --out x.safetensors").0, Ok(true));
    assert!(
        folder.fails("good.pt --out x.safetensors").contains("exists; replace it with --force")
    );
    assert_eq!(folder.import("good.pt --out x.safetensors --force").0, Ok(true));
    assert!(
        folder.fails("x.safetensors --out x.safetensors --force").contains("is the file to import")
    );
    assert_eq!(folder.names(), ["good.pt", "half.pt", "x.json", "x.safetensors"]);
}

/// A pickle with the structure of the official ones.
#[test]
fn official_pickles_say_how_they_were_built() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoints/edm");
    let pickle = fs::read(golden.join("ddpmpp.pkl")).unwrap();
    let folder = Folder::new().with("ddpmpp.pkl", pickle);
    for (wrong, reason) in [
        ("--set label_dim=9", "the network has a tensor model.map_label.weight [8, 9]"),
        ("--set augment_dim=0", "there is a tensor model.map_augment.weight [8, 9]"),
        ("--set num_blocks=0", "`num_blocks` is 0"),
    ] {
        let (outcome, _) = folder.import_whole(&format!("ddpmpp.pkl --out x.safetensors {wrong}"));
        let error = outcome.unwrap_err();
        assert!(error.contains("nothing was written") && error.contains(reason), "{error}");
    }
    assert_eq!(folder.names(), ["ddpmpp.pkl"]);
    let (outcome, report) = folder.import_whole("ddpmpp.pkl --out ddpmpp.safetensors");
    assert_eq!(outcome, Ok(true), "{report}");
    assert!(report.contains("evaluated in  edm"), "{report}");
    assert!(report.contains("outline       every tensor has its place"), "{report}");
    assert!(report.contains("network       ema: EDMPrecond"), "{report}");
    assert!(report.contains("tensors       149"), "{report}");
    let config = folder.json("ddpmpp.json");
    assert_eq!(config["architecture"]["channel_mult"], json!([1, 2]));
    assert_eq!(config["architecture"]["augment_dim"], 9);
    let model = unet::load(&folder.path("ddpmpp.safetensors"), tch::Device::Cpu);
    assert!(model.is_ok(), "{:?}", model.err());
}
