//! Reference statistics in files, and a whole evaluation with them.

use diffusion_core::{Noise, tensor_file};
use metrics::{
    Divisor, Error, FeatureFrechet, FrechetReference, GaussianStats, Metric, Recipe,
    RecipeFeatures, ReferenceProblem, ReferenceStats, Result, edm_subset,
};
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/metrics").join(name)
}

/// The stand-in for Inception in the reference values: pixels averaged over blocks of 4x4.
fn recipe() -> Recipe {
    let network = "average pool by 4".into();
    Recipe { resize: None, network, dim: 12, name: "pool".into(), ..Recipe::EDM_FID }
}

fn pool(pixels: &Tensor) -> Result<Tensor> {
    Ok(pixels.avg_pool2d([4, 4], [4, 4], [0, 0], false, true, None).flatten(1, -1))
}

/// Statistics of random features, by [`recipe`].
fn stats() -> ReferenceStats {
    let features = Noise::new(1).normal_f64(&[40, 12]);
    ReferenceStats::of(&GaussianStats::of(&features).unwrap(), recipe()).unwrap()
}

#[test]
fn an_evaluation_with_a_published_file_ends_in_the_published_number() {
    let case = tensor_file::read(&golden("fid_edm.safetensors")).unwrap();
    let tensor = |name: &str| &case.tensors.iter().find(|(found, _)| found == name).unwrap().1;
    let reference = ReferenceStats::read_npz(golden("fid_edm_ref.npz"), recipe()).unwrap();
    assert_eq!(&reference.mean, tensor("ref_mu"));
    assert_eq!(&reference.covariance, tensor("ref_sigma"));
    let network: fn(&Tensor) -> Result<Tensor> = pool;
    let features = RecipeFeatures::new(recipe(), network);
    let mut metric = FeatureFrechet::from_reference(features, &reference).unwrap();
    let kept = Tensor::from_slice(&edm_subset(40, 25, 0));
    let images = tensor("images");
    for (name, images) in
        [("fid_all", images.copy()), ("fid_subset", images.index_select(0, &kept))]
    {
        metric.reset();
        for batch in images.split(16, 0) {
            metric.update_bytes(&batch).unwrap();
        }
        let expected = tensor(name).double_value(&[]);
        assert!((metric.value().unwrap() - expected).abs() <= 1e-9 * expected, "{name}");
    }
    let info = metric.info();
    for part in
        ["pool", "127.5 x + 128", "not resized", "(u - 128) / 128", "N - 1", "fid_edm_ref.npz"]
    {
        assert!(info.recipe.contains(part), "`{part}` is missing from `{}`", info.recipe);
    }
    let larger = Tensor::zeros([1, 3, 8, 16], (Kind::Uint8, tch::Device::Cpu));
    assert!(matches!(metric.update_bytes(&larger), Err(Error::MixedShapes { .. })));
}

#[test]
fn a_reference_of_another_recipe_is_refused_with_both_named() {
    let stats = stats();
    let network: fn(&Tensor) -> Result<Tensor> = pool;
    let style_gan = Recipe { divisor: Divisor::Population, name: "pool by N".into(), ..recipe() };
    let features = RecipeFeatures::new(style_gan, network);
    let error = FeatureFrechet::from_reference(features, &stats).unwrap_err();
    assert!(matches!(error, Error::OtherRecipe { .. }));
    let message = error.to_string();
    for part in ["\"pool by N: ", "covariance by N\"", "\"pool: ", "covariance by N - 1\""] {
        assert!(message.contains(part), "`{part}` is missing from `{message}`");
    }
}

#[test]
fn files_of_this_crate_keep_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, numpy) = (folder.path().join("a.safetensors"), folder.path().join("a.npz"));
    let written = stats();
    written.write_safetensors(&ours).unwrap();
    written.write_npz(&numpy).unwrap();
    let own = ReferenceStats::read_safetensors(&ours).unwrap();
    let other = ReferenceStats::read_npz(&numpy, recipe()).unwrap();
    for read in [&own, &other] {
        assert_eq!((&read.mean, &read.covariance), (&written.mean, &written.covariance));
        assert_eq!(read.recipe, recipe());
    }
    assert_eq!((own.count, other.count), (Some(40), None));
    let unknown = other.write_safetensors(folder.path().join("b.safetensors"));
    assert!(matches!(unknown, Err(Error::TooFew { found: 0, needed: 2 })));
    let wide = ReferenceStats::read_npz(&numpy, Recipe::EDM_FID).unwrap_err();
    assert!(matches!(wide, Error::Dimension { expected: 2048, found: 12 }));
}

#[test]
fn statistics_need_enough_finite_vectors() {
    let one = GaussianStats::of(&Noise::new(1).normal_f64(&[1, 12])).unwrap();
    let few = ReferenceStats::of(&one, recipe()).unwrap_err();
    assert!(matches!(few, Error::TooFew { found: 1, needed: 2 }));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.npz");
    let nan = ReferenceStats { mean: stats().mean * f64::NAN, ..stats() };
    nan.write_npz(&path).unwrap();
    let error = ReferenceStats::read_npz(&path, recipe()).unwrap_err();
    assert!(matches!(error, Error::NonFiniteMoments { what: "mean" }));
    assert!(matches!(
        FrechetReference::new(&nan.mean, &nan.covariance),
        Err(Error::NonFiniteMoments { what: "mean" })
    ));
}

/// Reads `bytes` as an archive: what is wrong with it.
fn problem(bytes: &[u8]) -> ReferenceProblem {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.npz");
    fs::write(&path, bytes).unwrap();
    match ReferenceStats::read_npz(&path, recipe()).unwrap_err() {
        Error::Reference { path: found, problem } if found == path => *problem,
        other => panic!("{other}"),
    }
}

fn archive(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let options = SimpleFileOptions::default().compression_method(method);
        archive.start_file(*name, options).unwrap();
        archive.write_all(bytes).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn compressed_archives_are_read_and_bombs_are_not_unpacked() {
    let header = |shape: &str| {
        let text = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        [&b"\x93NUMPY\x01\0"[..], &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
    };
    let array = |shape: &str, values: usize| [header(shape), vec![0; 8 * values]].concat();
    let (mu, sigma) = (array("(12,)", 12), array("(12, 12)", 144));
    let deflated = CompressionMethod::Deflated;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("compressed.npz");
    fs::write(&path, archive(&[("mu.npy", &mu), ("sigma.npy", &sigma)], deflated)).unwrap();
    let read = ReferenceStats::read_npz(&path, recipe()).unwrap();
    assert_eq!(read.covariance.abs().max().double_value(&[]), 0.0);

    let bomb = array("(12, 12)", 8 << 20);
    let long = problem(&archive(&[("mu.npy", &mu), ("sigma.npy", &bomb)], deflated));
    assert!(matches!(long, ReferenceProblem::Length { name: "sigma", needed: 1152, .. }), "{long}");
    let missing = problem(&archive(&[("mu.npy", &mu), ("cov.npy", &sigma)], deflated));
    assert!(
        matches!(missing, ReferenceProblem::Missing { name: "sigma", found } if found.len() == 2)
    );
    let names: Vec<String> = (0..65).map(|i| format!("{i}.npy")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &mu[..])).collect();
    let many = problem(&archive(&entries, deflated));
    assert!(matches!(many, ReferenceProblem::Entries { found: 65 }), "{many}");
}

#[test]
fn damaged_archives_are_refused() {
    let whole = fs::read(golden("fid_edm_ref.npz")).unwrap();
    for length in (0..whole.len()).step_by(13) {
        problem(&whole[..length]);
    }
    // A value that changed is seen by its checksum.
    let mut changed = whole.clone();
    changed[200] ^= 1;
    assert!(matches!(problem(&changed), ReferenceProblem::Io(_)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.npz");
    let error = ReferenceStats::read_npz(&path, recipe()).unwrap_err();
    assert!(error.to_string().contains("none.npz"), "{error}");
}

#[test]
fn safetensors_without_a_recipe_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare.safetensors");
    let stats = stats();
    let tensors = [("mu", &stats.mean), ("sigma", &stats.covariance)];
    let refusal = |metadata: &[(&str, &str)]| {
        let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        tensor_file::write(&path, tensors, &metadata).unwrap();
        match ReferenceStats::read_safetensors(&path).unwrap_err() {
            Error::Reference { problem, .. } => *problem,
            other => panic!("{other}"),
        }
    };
    let json = serde_json::to_string(&recipe()).unwrap();
    let missing = |key| move |problem| matches!(problem, ReferenceProblem::NoMetadata { key: found } if found == key);
    assert!(missing("recipe")(refusal(&[])));
    assert!(missing("recipe")(refusal(&[("recipe", "{}"), ("n", "40")])));
    assert!(missing("n")(refusal(&[("recipe", &json)])));
    assert!(missing("n")(refusal(&[("recipe", &json), ("n", "many")])));
    fs::write(&path, b"no tensors").unwrap();
    assert!(ReferenceStats::read_safetensors(&path).is_err());
}
