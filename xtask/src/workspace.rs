//! Where things are in this checkout.

use std::env;
use std::path::{Path, PathBuf};

/// The root of the checkout whose xtask this is.
pub(crate) fn root() -> PathBuf {
    let package =
        env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    Path::new(&package).parent().expect("xtask lies in the root of the workspace").to_owned()
}

/// The link through which `.cargo/config.toml` and every built program find libtorch.
pub(crate) fn libtorch_link() -> PathBuf {
    root().join(".libtorch")
}
