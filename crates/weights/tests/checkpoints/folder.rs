//! The folder of reference checkpoints.

use std::path::{Path, PathBuf};

const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// `$FEWSTEP_GOLDEN/checkpoints`, the repository's `tests/golden/checkpoints` or `shared/golden/checkpoints` beside the
/// repository, whichever is there first; otherwise a line that says so.
#[expect(clippy::print_stderr)]
pub(crate) fn folder() -> Option<PathBuf> {
    let named =
        std::env::var_os("FEWSTEP_GOLDEN").map(|folder| Path::new(&folder).join("checkpoints"));
    let near = ["tests/golden/checkpoints", "../shared/golden/checkpoints"];
    let mut places = named.into_iter().chain(near.map(|place| Path::new(REPOSITORY).join(place)));
    let found = places.find(|place| place.is_dir());
    if found.is_none() {
        eprintln!(
            "skipped: no folder of reference checkpoints; set FEWSTEP_GOLDEN to the folder above it"
        );
    }
    found
}
