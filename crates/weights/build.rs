//! Lists the data files that are part of the program, so that adding one is adding a file.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    for folder in ["layouts", "architectures"] {
        println!("cargo::rerun-if-changed={folder}");
        let [out, here] =
            ["OUT_DIR", "CARGO_MANIFEST_DIR"].map(|name| env::var_os(name).expect("cargo sets it"));
        let list = list(&Path::new(&here).join(folder));
        fs::write(Path::new(&out).join(format!("{folder}.rs")), list)
            .expect("cargo's folder can be written");
    }
}

/// `&[(stem, include_str!(path)), …]` of the folder's TOML files, sorted.
fn list(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("a folder can be read").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let row = |path: &PathBuf| {
        format!("({:?}, include_str!({path:?})),\n", path.file_stem().expect("it is a file"))
    };
    format!("&[\n{}]", paths.iter().map(row).collect::<String>())
}
