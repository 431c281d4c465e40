//! Configuration in layers: defaults, a TOML file, `key=value` on the command line.

use crate::{Error, Result};
use toml::{Table, Value};

/// Lays `over` on `base`: tables merge key by key, everything else is replaced.
///
/// A table whose `kind` changes is replaced whole: the other keys belong to the old kind.
///
/// # Example
/// ```
/// let mut base: toml::Table = "batch = 64\n[ema]\nkind = 'constant'\ndecay = 0.9".parse().unwrap();
/// let over = "[ema]\ndecay = 0.99".parse().unwrap();
/// distill_trainer::settings::merge(&mut base, over);
/// assert_eq!(base["ema"]["decay"].as_float(), Some(0.99));
/// assert_eq!(base["batch"].as_integer(), Some(64));
/// ```
pub fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) if same_kind(old, &new) => merge(old, new),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

fn same_kind(old: &Table, new: &Table) -> bool {
    new.get("kind").is_none_or(|kind| old.get("kind") == Some(kind))
}

/// The table of one `dotted.key=value`; a value that is no TOML is taken as a string.
///
/// # Errors
/// [`Error::Config`] if there is no `=` or no key.
///
/// # Example
/// ```
/// let table = distill_trainer::settings::assignment("roles.student.optimizer.lr=1e-4")?;
/// assert_eq!(table["roles"]["student"]["optimizer"]["lr"].as_float(), Some(1e-4));
/// assert_eq!(distill_trainer::settings::assignment("data=pictures.zip")?["data"].as_str(), Some("pictures.zip"));
/// # Ok::<(), distill_trainer::Error>(())
/// ```
pub fn assignment(text: &str) -> Result<Table> {
    let malformed = || Error::Config {
        field: "override".into(),
        value: text.into(),
        expected: "must be `key=value`, such as `roles.student.optimizer.lr=1e-4`",
    };
    let (key, value) = text.split_once('=').ok_or_else(malformed)?;
    let parse = |value: &str| format!("{key} = {value}").parse::<Table>();
    let quoted = Value::String(value.into()).to_string();
    parse(value).or_else(|_| parse(&quoted)).map_err(|_| malformed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_replaces_the_whole_table() {
        let mut base: Table = "[d]\nkind = 'step'\nat = 0.7".parse().unwrap();
        merge(&mut base, "[d]\nkind = 'linear'".parse().unwrap());
        assert_eq!(base.to_string(), "[d]\nkind = \"linear\"\n");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["lr", "=3", "a b=3"] {
            assert!(assignment(text).unwrap_err().to_string().contains(text));
        }
    }
}
