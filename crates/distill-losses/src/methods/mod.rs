//! The choreographies: one method a file.

pub(crate) mod consistency;
pub(crate) mod easy_consistency;
pub(crate) mod score_identity;
pub(crate) mod teacher;

pub use consistency::{Consistency, ConsistencyConfig, ConsistencyMode, ConsistencyWeighting};
pub use easy_consistency::{EasyConsistency, EasyConsistencyConfig};
pub use score_identity::{ScoreIdentity, ScoreIdentityConfig};
pub use teacher::{TeacherTraining, TeacherTrainingConfig};

use crate::{Error, Result};
use serde::de::DeserializeOwned;

/// A method's typed options from the user's table; a key that the method lacks is an error.
fn options<T: DeserializeOwned>(method: &'static str, table: &toml::Table) -> Result<T> {
    let parsed = toml::Value::Table(table.clone()).try_into();
    parsed.map_err(|error: toml::de::Error| Error::Options { method, reason: error.to_string() })
}

/// Checks a value of an option.
fn require(
    ok: bool,
    method: &'static str,
    option: &'static str,
    value: impl ToString,
    expected: &'static str,
) -> Result<()> {
    if ok {
        Ok(())
    } else {
        Err(Error::OptionValue { method, option, value: value.to_string(), expected })
    }
}
