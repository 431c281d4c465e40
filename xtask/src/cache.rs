//! The user's cache folder, which all checkouts share.
//!
//! A libtorch in it is whole: it is put together under another name and renamed when it is done, so an interrupted
//! set-up leaves only a folder that the next one removes.

use crate::error::{Error, Result};
use crate::libtorch::{Libtorch, VERSION};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process;

const PARTIAL: &str = ".partial-";

/// `$XDG_CACHE_HOME/fewstep`, or `~/.cache/fewstep`.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let cache =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    Ok(cache.ok_or(Error::NoHome)?.join("fewstep"))
}

/// Where the cached libtorch of a kind belongs, with `torch` and `nvidia` in it.
pub(crate) fn place(cache: &Path, cuda: bool) -> PathBuf {
    cache.join(format!("libtorch-{VERSION}-{}", if cuda { "cuda" } else { "cpu" }))
}

/// Whether a cached libtorch is whole.
pub(crate) fn is_whole(place: &Path) -> bool {
    find(place).is_some()
}

/// The cached libtorch of that kind, if it is whole.
pub(crate) fn find(place: &Path) -> Option<Libtorch> {
    // The CPU half is linked against this one; a tree without it does not start.
    let runtime = place.join("nvidia/cu13/lib/libcudart.so.13");
    Libtorch::inspect(&place.join("torch"), "").ok().filter(|_| runtime.is_file())
}

/// Fills `place` with what `fetch` puts into the folder it is given; all of it or nothing. What lies there already stays
/// if it is whole.
pub(crate) fn fill(
    place: &Path,
    is_whole: impl Fn(&Path) -> bool,
    fetch: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let cache = place.parent().expect("a place lies in the cache");
    fs::create_dir_all(cache).map_err(Error::io("create", cache))?;
    remove_leftovers(cache)?;
    let name = place.file_name().expect("a place has a name").to_string_lossy();
    let partial = cache.join(format!("{name}{PARTIAL}{}", process::id()));
    fs::create_dir(&partial).map_err(Error::io("create", &partial))?;
    let outcome = fetch(&partial).and_then(|()| publish(&partial, place, is_whole));
    match outcome {
        Err(_) => remove(&partial).and(outcome),
        Ok(()) => Ok(()),
    }
}

/// Gives the finished folder its name. If another set-up was faster, its result stays.
fn publish(partial: &Path, place: &Path, is_whole: impl Fn(&Path) -> bool) -> Result<()> {
    if is_whole(place) {
        return remove(partial);
    }
    // Whatever has the name is damaged.
    remove(place)?;
    fs::rename(partial, place).map_err(Error::io("rename to", place))
}

/// Removes what set-ups left that were interrupted; those still running are left alone.
fn remove_leftovers(cache: &Path) -> Result<()> {
    let entries = fs::read_dir(cache).map_err(Error::io("list", cache))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((_, owner)) = name.split_once(PARTIAL) else { continue };
        if !Path::new("/proc").join(owner).exists() {
            println!("removing {}, left by an interrupted set-up", entry.path().display());
            remove(&entry.path())?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Error::io("remove", folder)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache folder for one test, removed at its end.
    struct TestCache(PathBuf);

    impl TestCache {
        fn new(name: &str) -> Self {
            let folder = env::temp_dir().join(format!("fewstep-xtask-{name}-{}", process::id()));
            fs::create_dir_all(&folder).unwrap();
            Self(folder)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for TestCache {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn put(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn put_whole(folder: &Path) -> Result<()> {
        for file in
            ["torch/lib/libtorch_cpu.so", "torch/lib/libc10.so", "torch/include/ATen/ATen.h"]
        {
            put(folder, file, "");
        }
        put(
            folder,
            "torch/include/torch/headeronly/version.h",
            "#define TORCH_VERSION \\\n \"2.11.0\"",
        );
        put(folder, "nvidia/cu13/lib/libcudart.so.13", "");
        Ok(())
    }

    #[test]
    fn a_failed_set_up_leaves_nothing() {
        let cache = TestCache::new("failed");
        let place = place(&cache.0, false);
        let failed = fill(&place, is_whole, |folder| {
            put(folder, "torch/lib/libtorch_cpu.so", "half of it");
            Err(Error::NoHome)
        });
        assert!(failed.is_err());
        assert_eq!(cache.names(), [""; 0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_damaged_tree_and_leftovers_are_replaced_by_a_whole_one() {
        let cache = TestCache::new("damaged");
        let place = place(&cache.0, false);
        put(&place, "torch/lib/libtorch_cpu.so", "and nothing else");
        // No process has this number: it is above the largest that Linux gives.
        put(&cache.0.join("libtorch-2.11.0-cpu.partial-99999999"), "torch/lib/libc10.so", "");
        let running = format!("libtorch-2.11.0-cuda.partial-{}", process::id());
        put(&cache.0.join(&running), "torch/lib/libc10.so", "");
        assert!(find(&place).is_none());

        fill(&place, is_whole, put_whole).unwrap();
        assert!(!find(&place).unwrap().cuda);
        assert_eq!(cache.names(), ["libtorch-2.11.0-cpu", running.as_str()]);
    }

    #[test]
    fn the_two_kinds_do_not_share_a_place() {
        assert_ne!(place(Path::new("/c"), false), place(Path::new("/c"), true));
    }
}
