//! `cargo xtask methods-table`: the README's table of methods, made from `METHODS`.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::{setup, workspace};
use std::fs;

const BEGIN: &str = "<!-- methods:begin -->";
const END: &str = "<!-- methods:end -->";
const EXAMPLE: [&str; 6] =
    ["run", "--quiet", "--package", "distill-losses", "--example", "methods_table"];

/// Replaces what is between the two marks.
pub(crate) fn run() -> Result<()> {
    setup::run(false)?;
    let table = Program::cargo().args(EXAMPLE).printed()?;
    let path = workspace::root().join("README.md");
    let readme = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    let updated = replaced(&readme, &table)
        .map_err(|marker| Error::NoMarker { path: path.clone(), marker })?;
    if updated == readme {
        println!("{} is up to date", path.display());
        return Ok(());
    }
    fs::write(&path, updated).map_err(Error::io("write", &path))?;
    println!("updated {}", path.display());
    Ok(())
}

/// The text with another table, or the mark it lacks.
fn replaced(text: &str, table: &str) -> Result<String, &'static str> {
    let (before, rest) = text.split_once(BEGIN).ok_or(BEGIN)?;
    let (_, after) = rest.split_once(END).ok_or(END)?;
    Ok(format!("{before}{BEGIN}\n{}\n{END}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let updated = replaced(&text, "| new |\n").unwrap();
        assert_eq!(updated, format!("a\n{BEGIN}\n| new |\n{END}\nb\n"));
        assert_eq!(replaced(&updated, "| new |\n").unwrap(), updated);
    }

    #[test]
    fn a_missing_mark_is_named() {
        assert_eq!(replaced("", "t"), Err(BEGIN));
        assert_eq!(replaced(&format!("{END}{BEGIN}"), "t"), Err(END));
    }
}
