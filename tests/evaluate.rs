//! The example that measures by published recipes, from end to end, with the networks' weights by formula.

#[path = "../examples/07_evaluate/main.rs"]
#[expect(dead_code, reason = "its `main` is not run")]
mod example;

use clap::Parser;
use fewstep::backbones::{Inception, LeNet, Lpips, LpipsFlavor};
use fewstep::datasets::{ImageFiles, ImageSource, Split};
use fewstep::diffusion_core::npy::Header;
use fewstep::diffusion_core::tensor_file;
use fewstep::prelude::*;
use fewstep::tch::no_grad;
use image::ExtendedColorType;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::TempDir;
use testkit::formula;
use zip::write::{SimpleFileOptions, ZipWriter};

/// Inception by formula, written once.
fn inception() -> &'static Path {
    static FILE: OnceLock<PathBuf> = OnceLock::new();
    FILE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("inception.safetensors");
        let network = Inception::zeroed(Device::Cpu);
        formula::fill(network.parameters(), "");
        network.parameters().save(&path, &BTreeMap::new()).unwrap();
        path
    })
}

/// The options of a small network, for tests that do not depend on the recipe.
fn quick(more: &[&'static str]) -> Vec<&'static str> {
    static FILE: OnceLock<String> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lenet.safetensors");
        let network = LeNet::new(10, &mut Noise::new(1), Device::Cpu);
        network.parameters().save(&path, &BTreeMap::new()).unwrap();
        path.to_str().unwrap().to_owned()
    });
    [more, &["--recipe", "LeNet", "--weights", file]].concat()
}

struct Folder(TempDir);

impl Folder {
    /// Four pictures.
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for number in 0..4 {
            folder.picture("pictures", number, [3, 8, 8]);
        }
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// A picture of noise in a folder.
    fn picture(&self, folder: &str, number: u64, [channels, height, width]: [u32; 3]) {
        let path = self.0.path().join(folder).join(format!("{number}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = Noise::new(number).integers((channels * height * width) as usize, 256);
        let bytes: Vec<u8> = bytes.into_iter().map(|byte| byte as u8).collect();
        let color = if channels == 1 { ExtendedColorType::L8 } else { ExtendedColorType::Rgb8 };
        image::save_buffer(&path, &bytes, width, height, color).unwrap();
    }

    fn npz(&self, name: &str, arrays: &[(&str, &[u8])]) {
        let mut zip = ZipWriter::new(File::create(self.path(name)).unwrap());
        for (name, bytes) in arrays {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    /// A small model of images of 8 by 8 pixels whose first weight is `weight`.
    fn model(self, channels: i64, weight: Option<f64>) -> Self {
        let config = SongUnetConfig {
            img_resolution: 8,
            img_channels: channels,
            model_channels: 8,
            channel_mult: vec![1],
            num_blocks: 1,
            ..SongUnetConfig::default()
        };
        let model = ModelConfig {
            architecture: unet::Architecture::SongUnet(config),
            preconditioning: Preconditioning::default(),
            sampler: None,
        };
        let network = model.build(&mut Noise::new(1), Device::Cpu).unwrap();
        if let Some(weight) = weight {
            let mut first = network.parameters().iter().next().unwrap().tensor.shallow_clone();
            let _ = no_grad(|| first.fill_(weight));
        }
        unet::save(&self.0.path().join("model.safetensors"), network.parameters(), &model).unwrap();
        self
    }

    /// What the run adds up to in `measured.jsonl`.
    fn evaluate(&self, subject: &str, reference: &str, more: &[&str]) -> Result<String, String> {
        let [subject, reference] = [subject, reference].map(|name| self.path(name));
        let out = self.path("measured.jsonl");
        let base = ["evaluate", &subject, "--reference", &reference, "--out", &out];
        let mut all = [&base[..], &["--device", "cpu"], more].concat();
        if !more.contains(&"--weights") {
            all.extend(["--weights", inception().to_str().unwrap()]);
        }
        let args = example::Args::try_parse_from(all).unwrap();
        example::run(&args).map_err(|error| format!("{error:#}"))?;
        Ok(fs::read_to_string(out).unwrap())
    }

    fn refusal(&self, subject: &str, reference: &str, more: &[&str]) -> String {
        self.evaluate(subject, reference, more).unwrap_err()
    }

    /// The summary of a run, by the labels of its metrics.
    fn summary(&self, subject: &str, reference: &str, more: &[&str]) -> BTreeMap<String, Value> {
        let json = self.path("summary.json");
        self.evaluate(subject, reference, &[more, &["--json", &json]].concat()).unwrap();
        let lines: Vec<Value> = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
        let label = |line: &Value| line["metric"]["label"].as_str().unwrap().to_owned();
        lines.into_iter().map(|line| (label(&line), line)).collect()
    }
}

fn values(lines: &str) -> Vec<f64> {
    let row = |line| serde_json::from_str::<Value>(line).unwrap();
    lines.lines().map(|line| row(line)["value"].as_f64().unwrap()).collect()
}

#[test]
fn pictures_are_at_no_distance_from_themselves_and_are_measured_once() {
    let folder = Folder::new();
    let save = folder.path("reference.safetensors");
    let first = folder.evaluate("pictures", "pictures", &["--save-reference", &save]).unwrap();
    assert!(values(&first).len() == 1 && values(&first)[0].abs() < 1e-10, "{first}");
    assert!(first.contains("EDM FID") && first.contains("inception-2015-12-05"), "{first}");
    assert_eq!(folder.evaluate("pictures", "pictures", &[]).unwrap(), first);
    let second = folder.evaluate("pictures", "reference.safetensors", &["--n", "3"]).unwrap();
    assert!(values(&second).len() == 2 && values(&second)[1] > 1e-9, "{second}");
    let other = folder.refusal("pictures", "reference.safetensors", &["--recipe", "clean-fid"]);
    assert!(other.contains("clean-fid") && other.contains("EDM FID"), "{other}");
    let kid = ["--metrics", "fid,kid-stylegan"];
    let moments = folder.refusal("pictures", "reference.safetensors", &kid);
    assert!(moments.contains("KID needs the features of the real images"), "{moments}");
}

#[test]
fn one_pass_gives_every_statistic_and_a_saved_reference_the_same() {
    let folder = Folder::new();
    let save = folder.path("reference.safetensors");
    let all = "fid,kid-stylegan,precision,density,coverage,is-adm";
    let more = ["--metrics", all, "--k", "1", "--threads", "2", "--batch", "2"];
    let with_save = [&more[..], &["--save-reference", &save]].concat();
    let same = folder.summary("pictures", "pictures", &with_save);
    let value = |label: &str| same[label]["mean"].as_f64().unwrap();
    assert!(value("FID").abs() < 1e-9 && value("IS") >= 1.0);
    for share in ["precision", "density", "coverage"] {
        // With strict balls around the nearest neighbor, each picture is in its own only.
        assert_eq!(value(share), 1.0, "{share}");
    }
    let recipe = same["IS"]["metric"]["recipe"].as_str().unwrap();
    assert!(recipe.contains("logits without bias, 1008 dimensions"), "{recipe}");

    let saved = folder.summary("pictures", "reference.safetensors", &more);
    for (label, line) in &same {
        assert_eq!(saved[label]["values"], line["values"], "{label}");
    }
    let recipe = saved["precision"]["metric"]["recipe"].as_str().unwrap();
    assert!(recipe.contains("neighbor 1") && recipe.contains("4 against 4 images"), "{recipe}");
    // Nothing but the new metric is measured.
    let before = fs::read_to_string(folder.path("measured.jsonl")).unwrap();
    let more = ["--metrics", "fid,recall,coverage", "--k", "1"];
    let after = folder.evaluate("pictures", "reference.safetensors", &more);
    let after = after.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(after.lines().count(), before.lines().count() + 1, "{after}");
}

#[test]
fn an_array_of_images_is_as_good_as_a_folder() {
    let folder = Folder::new();
    let source = ImageFiles::open(Path::new(&folder.path("pictures")), Split::Train).unwrap();
    let mut bytes = Header::new("|u1", &[4, 8, 8, 3]).to_bytes();
    for index in 0..4 {
        let image = source.image(index).unwrap();
        bytes.extend((0..64 * 3).map(|i| image.data[i % 3 * 64 + i / 3]));
    }
    folder.npz("pictures.npz", &[("arr_0.npy", &bytes)]);
    let metrics = quick(&["--metrics", "fid,coverage", "--k", "1"]);
    for [subject, reference] in [["pictures.npz", "pictures"], ["pictures", "pictures.npz"]] {
        let found = folder.summary(subject, reference, &metrics);
        assert!(found["LeNet-FD"]["mean"].as_f64().unwrap().abs() < 1e-9);
        assert_eq!(found["coverage"]["mean"], 1.0);
    }
    // As ADM's references: statistics of all images, pixels of some.
    let zeros = |shape: &[u64]| {
        let header = Header::new("<f8", shape);
        [header.to_bytes(), vec![0; 8 * header.values().unwrap() as usize]].concat()
    };
    let (mean, covariance) = (zeros(&[84]), zeros(&[84, 84]));
    let arrays: [(&str, &[u8]); 3] =
        [("mu.npy", &mean), ("sigma.npy", &covariance), ("arr_0.npy", &bytes)];
    folder.npz("both.npz", &arrays);
    let found =
        folder.summary("pictures", "both.npz", &quick(&["--metrics", "coverage", "--k", "1"]));
    let recipe = found["coverage"]["metric"]["recipe"].as_str().unwrap();
    assert!(found["coverage"]["mean"] == 1.0 && recipe.ends_with("4 images, both.npz"), "{recipe}");

    folder.npz("other.npz", &[("x.npy", &zeros(&[2]))]);
    let error = folder.refusal("pictures", "other.npz", &quick(&[]));
    assert!(error.contains("there is no array `mu`"), "{error}");
    let error = folder.refusal("other.npz", "pictures", &quick(&[]));
    assert!(error.contains("array `arr_0`: there is no such array"), "{error}");
}

#[test]
fn a_model_is_measured_for_each_seed_and_number_of_steps() {
    let folder = Folder::new().model(3, None);
    let [plot, grid, json] = ["nfe.png", "grid.png", "all.json"].map(|name| folder.path(name));
    let more = quick(&["--n", "2", "--seeds", "2", "--steps", "1,2"]);
    let pictures = ["--plot", &plot, "--grid", &grid, "--json", &json];
    let more = [&more[..], &pictures].concat();
    let lines = folder.evaluate("model.safetensors", "pictures", &more).unwrap();
    let values = values(&lines);
    assert_eq!(values.len(), 4);
    assert!(values.iter().all(|value| value.is_finite() && *value > 0.0), "{values:?}");
    assert!(values[0] != values[1] && values[0] != values[2], "{values:?}");

    let summary: Vec<Value> = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert_eq!(summary.len(), 2);
    for (line, (values, nfe)) in summary.iter().zip([(&values[..2], 1), (&values[2..], 3)]) {
        assert_eq!((&line["nfe"], &line["seeds"]), (&nfe.into(), &vec![0, 1].into()));
        let of = |key: &str| line[key].as_f64().unwrap();
        assert_eq!(of("min"), values[0].min(values[1]));
        assert_eq!(of("mean"), (values[0] + values[1]) / 2.0);
        assert_eq!(of("spread"), (values[0] - values[1]).abs());
        assert!(of("ms_per_image") > 0.0);
    }
    for (name, size) in [("nfe.png", (900, 600)), ("grid-1.png", (16, 8)), ("grid-2.png", (16, 8))]
    {
        let picture = image::open(folder.path(name)).unwrap();
        let (width, height) = (picture.width(), picture.height());
        assert!(width >= size.0 && height >= size.1, "{name}: {width} x {height}");
    }
    assert_eq!(folder.evaluate("model.safetensors", "pictures", &more).unwrap(), lines);
}

#[test]
fn a_model_can_be_the_reference_and_statistics_go_to_other_programs() {
    let folder = Folder::new().model(3, None);
    let npz = folder.path("model.npz");
    let more = quick(&["--n", "3"]);
    let saved = [&more[..], &["--metrics", "fid,coverage", "--k", "1", "--save-reference", &npz]];
    let found = folder.summary("model.safetensors", "model.safetensors", &saved.concat());
    let recipe = found["coverage"]["metric"]["recipe"].as_str().unwrap();
    assert!(recipe.contains("3 images of the model"), "{recipe}");
    let of_model = found["LeNet-FD"]["mean"].as_f64().unwrap();
    assert!(of_model > 1e-3, "the reference has latents of its own: {of_model}");
    let read = folder.summary("model.safetensors", "model.npz", &more);
    let of_file = read["LeNet-FD"]["mean"].as_f64().unwrap();
    assert!((of_file / of_model - 1.0).abs() < 1e-9, "{of_file} {of_model}");
}

/// Files that LPIPS can be opened from.
fn lpips(folder: &Folder) -> [String; 2] {
    let lpips = Lpips::zeroed(LpipsFlavor::Package, Device::Cpu);
    formula::fill(lpips.parameters(), "");
    let (mut vgg, mut heads) = (Vec::new(), Vec::new());
    for parameter in lpips.parameters().iter() {
        match parameter.name.strip_prefix("net.slice") {
            Some(name) => vgg.push((format!("features{}", &name[1..]), parameter.tensor.copy())),
            None if parameter.name.starts_with("lin") => {
                heads.push((parameter.name.clone(), parameter.tensor.abs()));
            }
            None => {}
        }
    }
    let [vgg_path, heads_path] = ["vgg.safetensors", "heads.safetensors"].map(|n| folder.path(n));
    for (path, tensors) in [(&vgg_path, vgg), (&heads_path, heads)] {
        let tensors = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        tensor_file::write(Path::new(path), tensors, &BTreeMap::new()).unwrap();
    }
    [vgg_path, heads_path]
}

#[test]
fn equal_pictures_have_no_lpips_diversity_and_others_have() {
    let folder = Folder::new();
    let [vgg, heads] = lpips(&folder);
    for number in 0..4 {
        folder.picture("different", number, [3, 16, 16]);
        fs::create_dir_all(folder.path("equal")).unwrap();
        let copy = folder.path(&format!("equal/{number}.png"));
        fs::copy(folder.path("different/0.png"), copy).unwrap();
    }
    let weights = ["--lpips-vgg", &vgg, "--lpips-heads", &heads];
    let more = [&["--metrics", "lpips-diversity", "--pairs", "6"], &weights[..]].concat();
    let equal = folder.summary("equal", "pictures", &more);
    assert_eq!(equal["LPIPS-div"]["mean"], 0.0);
    let different = folder.summary("different", "pictures", &more);
    assert!(different["LPIPS-div"]["mean"].as_f64().unwrap() > 0.0);
    assert!(different["LPIPS-div"]["standard_errors"][0].as_f64().unwrap() > 0.0);
    let small = folder.refusal("pictures", "pictures", &more);
    assert!(small.contains("16x16 pixels; these are 3x8x8"), "{small}");
}

#[test]
fn images_that_cannot_be_measured_are_named() {
    let folder = Folder::new().model(3, Some(f64::NAN));
    let nan = folder.refusal("model.safetensors", "pictures", &quick(&["--n", "2"]));
    assert!(nan.contains("from number 0 on, seed 0") && nan.contains("NaN"), "{nan}");
    let folder = folder.model(2, None);
    let colors = folder.refusal("model.safetensors", "pictures", &quick(&["--n", "2"]));
    assert!(colors.contains("2 channels; 1 (grey) or 3 (RGB) are needed"), "{colors}");
    folder.picture("one", 0, [3, 8, 8]);
    let few = folder.refusal("one", "pictures", &quick(&[]));
    assert!(few.contains("1 sample(s) are too few: at least 2 are needed"), "{few}");
    let few = folder.refusal("pictures", "one", &quick(&[]));
    assert!(few.contains("1 sample(s) are too few"), "{few}");
    for (name, odd, reason) in [
        ("sizes", [3, 8, 9], "(height, width)"),
        ("colors", [1, 8, 8], "has 1 channel(s) where the first image has 3"),
    ] {
        folder.picture(name, 0, [3, 8, 8]);
        folder.picture(name, 1, odd);
        let mixed = folder.refusal(name, "pictures", &quick(&[]));
        assert!(mixed.contains("1.png") && mixed.contains(reason), "{mixed}");
    }
}

#[test]
fn what_cannot_be_measured_is_said() {
    let folder = Folder::new();
    let refusal = |more: &[&str]| folder.refusal("pictures", "pictures", more);
    for (more, reason) in [
        (&["--recipe", "fid"][..], "there is no recipe `fid`; there are EDM FID"),
        (
            &["--metrics", "fid,magic"],
            "there is no metric `magic`; there are fid, fd-infinity, kid",
        ),
        (&["--metrics", "cmmd"], "give `--recipe CMMD`"),
        (&["--n", "1"], "`--n` must be at least 2"),
        (&["--steps", "3"], "are for models"),
        (&["--plot", "x.png"], "give several `--steps`"),
        (&["--threads", "0"], "`--threads` must be at least 1"),
        (&["--metrics", "precision", "--k", "4"], "4 sample(s) are too few: at least 5 are needed"),
    ] {
        let found = refusal(more);
        assert!(found.contains(reason), "{found}");
    }
    let unlike = refusal(&["--recipe", "LeNet"]);
    assert!(unlike.contains("inception.safetensors"), "{unlike}");
    let missing = folder.refusal("nowhere", "pictures", &[]);
    assert!(missing.contains("nowhere"), "{missing}");
}

#[test]
fn a_line_that_was_cut_off_is_named() {
    let folder = Folder::new();
    let out = folder.path("measured.jsonl");
    let whole = folder.evaluate("pictures", "pictures", &quick(&[])).unwrap();
    for (kept, reason) in [(whole.len() - 9, "is no measurement"), (whole.len() - 1, "has no end")]
    {
        fs::write(&out, [&whole[..], &whole[..kept]].concat()).unwrap();
        let error = folder.refusal("pictures", "pictures", &quick(&[]));
        assert!(error.contains("line 2, ") && error.contains(reason), "{error}");
        assert!(error.contains("`--out`"), "{error}");
    }
}
