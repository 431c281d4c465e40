//! What a reader of results has to know about where they come from.

use std::process::Command;

/// The name of the processor.
pub(crate) fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| "unknown CPU".to_owned(), |(_, name)| name.trim().to_owned())
}

/// The present day, in UTC.
pub(crate) fn date() -> String {
    output("date", &["-u", "+%Y-%m-%d"])
}

/// The commit of this checkout, with a plus sign if files differ from it.
pub(crate) fn commit() -> String {
    let hash = output("git", &["rev-parse", "--short", "HEAD"]);
    let changed = output("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_empty() || hash == UNKNOWN { hash } else { format!("{hash}+") }
}

const UNKNOWN: &str = "unknown";

fn output(program: &str, arguments: &[&str]) -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(program).args(arguments).current_dir(root).output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        }
        _ => UNKNOWN.to_owned(),
    }
}
