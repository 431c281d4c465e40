//! What can go wrong when a method is set up.

/// The result of a fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error with the value that caused it and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name that is in no row of the method table.
    #[error("unknown method `{name}`{}; the methods are: {}",
        .suggestion.map(|s| format!("; did you mean `{s}`?")).unwrap_or_default(), .known.join(", "))]
    UnknownMethod {
        /// The name as it was given.
        name: String,
        /// The closest known name, if one is close.
        suggestion: Option<&'static str>,
        /// All known names.
        known: Vec<&'static str>,
    },
    /// A method that needs a teacher was given none.
    #[error(
        "method `{0}` needs a trained teacher; train one first (method `teacher`) or pass a checkpoint"
    )]
    MissingTeacher(&'static str),
    /// An option that the method does not have, or a value of the wrong type.
    #[error("options of method `{method}`: {reason}")]
    Options {
        /// The method.
        method: &'static str,
        /// What is wrong, with the known options.
        reason: String,
    },
    /// An option whose value makes no sense.
    #[error("option `{option}` of method `{method}` = {value}: {expected}")]
    OptionValue {
        /// The method.
        method: &'static str,
        /// The option.
        option: &'static str,
        /// The value it had.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
}
