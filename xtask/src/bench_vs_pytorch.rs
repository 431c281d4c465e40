//! `cargo xtask bench-vs-pytorch`: both sides of the comparison, prepared and run.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::{pytorch, setup};

/// Sets up both sides, then runs `benches/vs_pytorch` with the caller's options.
pub(crate) fn run(options: &[String]) -> Result<()> {
    let (python, rest) = take_python(options)?;
    setup::run(false)?;
    let bench = |options: &[String]| {
        Program::cargo().args(["bench", "--bench", "vs_pytorch", "--"]).args(options).run()
    };
    if rest.iter().any(|option| ["--help", "-h"].contains(&option.as_str())) {
        return bench(&rest);
    }
    let python = pytorch::python(python.as_deref())?;
    bench(&[&["--python".to_owned(), python.display().to_string()], &rest[..]].concat())
}

/// The value of `--python`, and all other options.
fn take_python(options: &[String]) -> Result<(Option<String>, Vec<String>)> {
    let (mut python, mut rest) = (None, Vec::new());
    let mut options = options.iter();
    while let Some(option) = options.next() {
        if option == "--python" {
            let missing = Error::NoValue { option: option.clone(), value: "PATH" };
            python = Some(options.next().ok_or(missing)?.clone());
        } else if let Some(path) = option.strip_prefix("--python=") {
            python = Some(path.to_owned());
        } else {
            rest.push(option.clone());
        }
    }
    Ok((python, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn python_is_taken_and_the_rest_is_passed_on() {
        let given = strings(&["--rows", "full", "--python", "p", "--quick"]);
        let (python, rest) = take_python(&given).unwrap();
        assert_eq!(python.as_deref(), Some("p"));
        assert_eq!(rest, strings(&["--rows", "full", "--quick"]));
        assert_eq!(take_python(&strings(&["--python=q"])).unwrap().0.as_deref(), Some("q"));
        assert!(matches!(take_python(&strings(&["--python"])), Err(Error::NoValue { .. })));
    }
}
