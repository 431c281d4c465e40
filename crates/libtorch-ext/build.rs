//! Compiles the C++ shim against the libtorch that `torch-sys` uses.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::exit;

/// The libtorch series whose C++ interface the shim and `tch` are written for.
const SERIES: &str = "2.11.";

/// Calls into libtorch: its own code is what runs, and optimising these few lines would only cost build time.
const CALLS: [&str; 14] = [
    "cpp/autocast.cpp",
    "cpp/autograd.cpp",
    "cpp/checkpoint.cpp",
    "cpp/cuda_graph.cpp",
    "cpp/cuda_memory.cpp",
    "cpp/cuda_stream.cpp",
    "cpp/distributed.cpp",
    "cpp/fused.cpp",
    "cpp/generator.cpp",
    "cpp/location.cpp",
    "cpp/memory_format.cpp",
    "cpp/nccl.cpp",
    "cpp/rebase.cpp",
    "cpp/switches.cpp",
];

/// Loops of our own.
const KERNELS: [&str; 7] = [
    "cpp/kernels/attention.cpp",
    "cpp/kernels/convolution.cpp",
    "cpp/kernels/group_norm.cpp",
    "cpp/kernels/multiply.cpp",
    "cpp/kernels/parallel.cpp",
    "cpp/kernels/winograd.cpp",
    "cpp/kernels/winograd_transforms.cpp",
];

/// libtorch's header of collectives over Gloo; builds without `USE_DISTRIBUTED` may lack it.
const GLOO: &str = "torch/csrc/distributed/c10d/ProcessGroupGloo.hpp";

fn main() {
    // torch-sys reports the folder it links against through its `links` key.
    let lib =
        PathBuf::from(env::var_os("DEP_TCH_LIBTORCH_LIB").expect("torch-sys reports libtorch_lib"));
    let include = include_folder(&lib);
    check_version(&lib, &include);
    compile(&include, &CALLS, 1, "libtorch_ext_calls");
    compile(&include, &KERNELS, 3, "libtorch_ext_kernels");
    link(&lib);
}

fn include_folder(lib: &Path) -> PathBuf {
    println!("cargo:rerun-if-env-changed=LIBTORCH_INCLUDE");
    let root = env::var_os("LIBTORCH_INCLUDE").map(PathBuf::from);
    root.as_deref().or(lib.parent()).expect("the library folder has a parent").join("include")
}

/// Ends the build with advice unless libtorch is of the right series.
fn check_version(lib: &Path, include: &Path) {
    println!("cargo:rerun-if-env-changed=LIBTORCH_BYPASS_VERSION_CHECK");
    let header = include.join("torch/headeronly/version.h");
    println!("cargo:rerun-if-changed={}", header.display());
    if env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some() {
        return;
    }
    let found = version(&header);
    if !found.as_deref().is_some_and(|version| version.starts_with(SERIES)) {
        println!(
            "cargo:error=libtorch {SERIES}x is needed, but {} holds {}. Run `cargo xtask setup`, or set LIBTORCH to a \
             libtorch 2.11.0 (the `torch` folder of a Python PyTorch 2.11.0 is one). See docs/libtorch.md.",
            lib.display(),
            found.map_or("no readable version header".to_owned(), |version| format!(
                "version {version}"
            ))
        );
        exit(1);
    }
}

/// The quoted version of `#define TORCH_VERSION \ "2.11.0"`.
fn version(header: &Path) -> Option<String> {
    let text = fs::read_to_string(header).ok()?;
    let (_, rest) = text.split_once("#define TORCH_VERSION \\")?;
    rest.split('"').nth(1).map(str::to_owned)
}

fn compile(include: &Path, files: &[&str], level: u32, name: &str) {
    println!("cargo:rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    println!("cargo:rerun-if-changed=cpp");
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    let mut build = cc::Build::new();
    if has_c10d(include) {
        println!("cargo:rustc-cfg=c10d");
        build.define("FEWSTEP_C10D", None).define("USE_C10D_GLOO", None);
    }
    build
        .cpp(true)
        .std("c++17")
        .pic(true)
        .opt_level(level)
        .debug(false)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .include(include)
        .include(include.join("torch/csrc/api/include"))
        // What libtorch's headers include and its packages leave out.
        .include("cpp/declarations")
        // libtorch's headers warn; warnings in them are not ours to fix.
        .warnings(false)
        .flag_if_supported("-Wno-psabi")
        .files(files)
        .compile(name);
}

/// Whether processes can be connected. A libtorch that has the headers without the code is told so by the variable.
fn has_c10d(include: &Path) -> bool {
    println!("cargo:rustc-check-cfg=cfg(c10d)");
    println!("cargo:rerun-if-env-changed=LIBTORCH_WITHOUT_C10D");
    env::var_os("LIBTORCH_WITHOUT_C10D").is_none() && include.join(GLOO).exists()
}

/// Links libtorch, and lets every program that cargo starts find it.
///
/// Cargo adds a search path to the loader's path of `run`, `test` and doctests only if it lies inside the target folder;
/// so the path it is given is a link in this crate's own part of the target folder.
fn link(lib: &Path) {
    let link = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("libtorch");
    println!("cargo:rerun-if-changed={}", lib.display());
    match fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            panic!("remove {}: {error}", link.display())
        }
        _ => {}
    }
    let target =
        fs::canonicalize(lib).unwrap_or_else(|error| panic!("open {}: {error}", lib.display()));
    std::os::unix::fs::symlink(&target, &link)
        .unwrap_or_else(|error| panic!("link {}: {error}", link.display()));
    println!("cargo:rustc-link-search=native={}", link.display());
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
}
