//! Parameters that are frozen by name.

use crate::{Error, Result};
use globset::{Glob, GlobMatcher};

/// How many names a message suggests.
const SUGGESTIONS: usize = 3;

/// Patterns for names of parameters, each of which fits at least one.
#[derive(Debug)]
pub(crate) struct Freeze(Vec<GlobMatcher>);

impl Freeze {
    /// The patterns of `field`, for a network with those names.
    pub(crate) fn new(field: &str, patterns: &[String], names: &[&str]) -> Result<Self> {
        let matchers = patterns.iter().enumerate().map(|(index, pattern)| {
            let field = format!("{field}[{index}]");
            let Ok(glob) = Glob::new(pattern) else {
                let expected = "must be a pattern of names, such as `enc.*`";
                return Err(Error::Config { field, value: pattern.clone(), expected });
            };
            let matcher = glob.compile_matcher();
            if names.iter().any(|name| matcher.is_match(name)) {
                return Ok(matcher);
            }
            Err(Error::NoSuchParameter {
                field,
                pattern: pattern.clone(),
                close: close(pattern, names),
            })
        });
        Ok(Self(matchers.collect::<Result<_>>()?))
    }

    /// Whether the parameter of that name is frozen.
    pub(crate) fn holds(&self, name: &str) -> bool {
        self.0.iter().any(|matcher| matcher.is_match(name))
    }
}

/// The names that resemble the pattern most.
fn close(pattern: &str, names: &[&str]) -> Vec<String> {
    let plain: String = pattern.chars().filter(|c| !"*?[]{}".contains(*c)).collect();
    let mut names = names.to_vec();
    names.sort_by(|a, b| {
        strsim::jaro_winkler(&plain, b).total_cmp(&strsim::jaro_winkler(&plain, a))
    });
    names.into_iter().take(SUGGESTIONS).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["enc.conv.weight", "enc.conv.bias", "dec.conv.weight", "map.linear"];

    fn freeze(patterns: &[&str]) -> Result<Freeze> {
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        Freeze::new("roles.student.freeze", &patterns, &NAMES)
    }

    #[test]
    fn patterns_pick_names() {
        let picked = |patterns: &[&str]| {
            let freeze = freeze(patterns).unwrap();
            NAMES.map(|name| freeze.holds(name))
        };
        assert_eq!(picked(&["enc.*"]), [true, true, false, false]);
        assert_eq!(picked(&["*.weight", "map.linear"]), [true, false, true, true]);
        assert_eq!(picked(&["{enc,dec}.conv.b*"]), [false, true, false, false]);
        assert_eq!(picked(&[]), [false; 4]);
    }

    #[test]
    fn a_pattern_that_fits_nothing_is_named_with_what_is_close() {
        let message = freeze(&["enc.*", "dce.conv.*"]).unwrap_err().to_string();
        assert!(message.contains("`roles.student.freeze[1]`"), "{message}");
        assert!(
            message.contains("`dce.conv.*`") && message.contains("dec.conv.weight"),
            "{message}"
        );
        assert!(
            freeze(&["enc.[a"]).unwrap_err().to_string().contains("`enc.[a`")
                || matches!(freeze(&["enc.[a"]).unwrap_err(), Error::Config { .. })
        );
    }
}
