//! The settings in a scheduler's file, read one by one.

use super::SchedulerClass;
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Settings of a scheduler that takes some of them.
pub(super) struct Settings<'a> {
    pub(super) class: SchedulerClass,
    pub(super) file: &'a Map<String, Value>,
}

impl Settings<'_> {
    /// The setting, or `default` if the file does not say or the scheduler does not know it.
    pub(super) fn read<T: DeserializeOwned>(
        &self,
        field: &'static str,
        default: T,
        expected: &'static str,
    ) -> Result<T> {
        match self.value(field) {
            None => Ok(default),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| Error::SchedulerSetting { field, value: value.to_string(), expected }),
        }
    }

    /// Refuses every value of the setting but those that mean the same as its absence.
    pub(super) fn refuse_unless(
        &self,
        field: &'static str,
        neutral: &Value,
        expected: &'static str,
    ) -> Result<()> {
        match self.value(field) {
            Some(value) if value != neutral => {
                Err(Error::SchedulerSetting { field, value: value.to_string(), expected })
            }
            _ => Ok(()),
        }
    }

    /// The setting, if the file says and the scheduler knows it; `null` is as good as nothing.
    fn value(&self, field: &str) -> Option<&Value> {
        self.file.get(field).filter(|value| !value.is_null() && self.class.takes(field))
    }
}
