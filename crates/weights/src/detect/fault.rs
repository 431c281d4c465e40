//! Why an architecture is not known.

/// What is wrong with a family's file, or why a network's architecture is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DetectFault {
    /// Text that is no file of a family.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        message: String,
    },
    /// A name that no family has.
    #[error("is no architecture; known are {}", .known.join(", "))]
    UnknownFamily {
        /// The families that come with the crate.
        known: Vec<&'static str>,
    },
    /// Tensors that no family has.
    #[error(
        "look like none of the known architectures ({}); their names begin with {some:?}; perhaps the network lies below \
         a key of the file, or has other names in front",
        .known.join(", ")
    )]
    NoFamily {
        /// The families that come with the crate.
        known: Vec<&'static str>,
        /// Some names of the tensors.
        some: Vec<String>,
    },
    /// Tensors that several families could have.
    #[error("could be any of {}; choose one", .found.join(", "))]
    SeveralFamilies {
        /// The families.
        found: Vec<String>,
    },
    /// A field that the family does not have.
    #[error("has no field `{field}`; its fields are {}", .known.join(", "))]
    UnknownField {
        /// What was given.
        field: String,
        /// What there is.
        known: Vec<String>,
    },
    /// Fields that neither shapes nor the table of published networks tell.
    #[error(
        "{} cannot be read from names and shapes, and no published network has these sizes; give them",
        .fields.join(", ")
    )]
    Ask {
        /// The fields.
        fields: Vec<String>,
    },
    /// A field that could not be read.
    #[error("field `{field}`: {reason}")]
    Field {
        /// The field.
        field: String,
        /// Why not.
        reason: String,
    },
}
