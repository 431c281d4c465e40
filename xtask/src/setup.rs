//! `cargo xtask setup`: a libtorch for this checkout. Does nothing where there is one.

use crate::error::{Error, Result};
use crate::libtorch::{Libtorch, VERSION};
use crate::program::Program;
use crate::{cache, wheels, workspace};
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Finds or gets a libtorch, with CUDA if asked for, and links it as `.libtorch`.
pub(crate) fn run(cuda: bool) -> Result<Libtorch> {
    wheels::check_compiler()?;
    let libtorch = match chosen_by_user()? {
        Some(libtorch) => libtorch,
        None => linked(cuda).map_or_else(|| cached_or_downloaded(cuda), Ok)?,
    };
    link(&libtorch.folder)?;
    println!("ready: {libtorch}");
    if !libtorch.cuda && Path::new("/proc/driver/nvidia").exists() {
        println!(
            "this machine has an NVIDIA driver; `cargo xtask setup --cuda` gets the libtorch that can use it"
        );
    } else if !libtorch.cuda && cuda {
        println!(
            "it has no CUDA half; unset LIBTORCH and LIBTORCH_USE_PYTORCH to let `setup --cuda` get one"
        );
    }
    Ok(libtorch)
}

/// The libtorch that the environment names, if it names one.
pub(crate) fn chosen_by_user() -> Result<Option<Libtorch>> {
    if env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        let folder = python_torch()?;
        println!("LIBTORCH_USE_PYTORCH is set: using the PyTorch in {}", folder.display());
        let advice =
            format!("install `torch=={VERSION}` in that Python, or unset LIBTORCH_USE_PYTORCH");
        return Libtorch::inspect(&folder, &advice).map(Some);
    }
    let Some(folder) = env::var_os("LIBTORCH").map(PathBuf::from) else { return Ok(None) };
    // Cargo sets the variable to our own link, unless the user has set it.
    if folder == workspace::libtorch_link() {
        return Ok(None);
    }
    println!("LIBTORCH is set: using {}", folder.display());
    let advice = format!(
        "set LIBTORCH to the absolute path of a libtorch {VERSION}, or unset it to let `cargo xtask setup` get one"
    );
    if !folder.is_absolute() {
        let reason = "the path is not absolute".to_owned();
        return Err(Error::BadLibtorch { folder, reason, advice });
    }
    Libtorch::inspect(&folder, &advice).map(Some)
}

/// The folder of the `torch` package of the Python that `torch-sys` would ask.
fn python_torch() -> Result<PathBuf> {
    let python = if env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let find =
        "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])";
    Program::new(python).args(["-c", find]).output().map(PathBuf::from).ok_or(Error::Missing {
        what: "the PyTorch that LIBTORCH_USE_PYTORCH asks for",
        advice: "install it in the active Python (`python3 -m pip install torch==2.11.0`), or unset LIBTORCH_USE_PYTORCH",
    })
}

/// What `.libtorch` already links to, if it will do.
fn linked(cuda: bool) -> Option<Libtorch> {
    let folder = fs::canonicalize(workspace::libtorch_link()).ok()?;
    Libtorch::inspect(&folder, "").ok().filter(|libtorch| libtorch.cuda || !cuda)
}

fn cached_or_downloaded(cuda: bool) -> Result<Libtorch> {
    let cache = cache::folder()?;
    let place = cache::place(&cache, cuda);
    if let Some(libtorch) = cache::find(&place) {
        println!("found in the cache: {}", place.display());
        return Ok(libtorch);
    }
    wheels::check_machine()?;
    let size =
        if cuda { "about 2.5 GB, 3.7 GB unpacked" } else { "about 0.55 GB, and as much unpacked" };
    println!(
        "getting libtorch {VERSION} ({size}), once for all checkouts, into {}",
        place.display()
    );
    cache::fill(&place, cache::is_whole, |folder| wheels::fetch(cuda, folder))?;
    Libtorch::inspect(&place.join("torch"), "remove that folder and run `cargo xtask setup` again")
}

/// Makes `.libtorch` point to `folder`.
fn link(folder: &Path) -> Result<()> {
    let link = workspace::libtorch_link();
    if fs::read_link(&link).is_ok_and(|target| target == folder) || folder == link {
        return Ok(());
    }
    match fs::symlink_metadata(&link) {
        Ok(entry) if !entry.is_symlink() => return Err(Error::InTheWay(link)),
        Ok(_) => fs::remove_file(&link).map_err(Error::io("remove", &link))?,
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(Error::io("look at", &link)(error)),
    }
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder, &link).map_err(Error::io("make the link", &link))?;
    println!("linked .libtorch -> {}", folder.display());
    Ok(())
}
