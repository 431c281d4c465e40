//! The fields of a published configuration that have one value here, or none that matters.

use crate::{Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;

/// Fields of a `config.json` beyond those of a configuration's struct, as they stand there.
pub(crate) type OtherFields = BTreeMap<String, Value>;

/// What a network accepts in its other fields. Names that begin with `_` are accepted with every value, unless they
/// stand here.
#[derive(Debug)]
pub(crate) struct Fields {
    /// Fields that could change numbers, with the JSON texts of the values that can be built and what to say of them.
    pub(crate) fixed: &'static [(&'static str, &'static [&'static str])],
    /// Fields that change no number.
    pub(crate) harmless: &'static [&'static str],
}

impl Fields {
    /// Refuses fields that are unknown and values that cannot be built.
    pub(crate) fn check(&self, others: &OtherFields) -> Result<()> {
        others.iter().try_for_each(|(field, value)| self.check_one(field, value))
    }

    fn check_one(&self, field: &str, value: &Value) -> Result<()> {
        let fixed = self.fixed.iter().find(|(name, _)| *name == field);
        if let Some((field, accepted)) = fixed {
            let value = value.to_string();
            return if accepted.contains(&value.as_str()) {
                Ok(())
            } else {
                Err(Error::Unsupported { field, value, supported: accepted[0] })
            };
        }
        if field.starts_with('_') || self.harmless.contains(&field) {
            return Ok(());
        }
        Err(Error::UnknownField { field: field.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: Fields = Fields {
        fixed: &[("_class_name", &["\"A\""]), ("act_fn", &["\"silu\"", "\"swish\""])],
        harmless: &["sample_size"],
    };

    fn check(json: &str) -> Result<()> {
        FIELDS.check(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn what_changes_no_number_is_accepted() {
        check(r#"{"_class_name": "A", "_diffusers_version": "0.6", "sample_size": [4, 4]}"#)
            .unwrap();
        check(r#"{"act_fn": "swish"}"#).unwrap();
    }

    #[test]
    fn what_might_change_numbers_is_named() {
        let message = |json| check(json).unwrap_err().to_string();
        let error = message(r#"{"act_fn": "gelu"}"#);
        assert_eq!(error, "`act_fn` \"gelu\" cannot be built; only \"silu\" can");
        assert!(message(r#"{"_class_name": "B"}"#).contains("`_class_name` \"B\""));
        assert!(message(r#"{"rotary": true}"#).contains("`rotary`"));
    }
}
