//! What can be wrong with a layout, or with a network that it is applied to.

use serde_json::Value as Json;

/// What is wrong with a layout file, or why it does not fit a network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// A name that no layout has.
    #[error("is no layout; known are {}, and paths that end in .toml", .known.join(", "))]
    UnknownLayout {
        /// The layouts that come with the crate.
        known: Vec<&'static str>,
    },
    /// Text that is no TOML of the right form.
    #[error("line {line}: {message}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The parser's reason.
        message: String,
    },
    /// A pattern that is no regular expression.
    #[error("line {line}: {reason}")]
    Pattern {
        /// The line, from 1.
        line: usize,
        /// The reason.
        reason: Box<regex::Error>,
    },
    /// A placeholder that stands for nothing.
    #[error("line {line}: `{{{placeholder}}}` is none of the names that the pattern and the file define: {}", .known.join(", "))]
    Placeholder {
        /// The line, from 1.
        line: usize,
        /// What is between the braces.
        placeholder: String,
        /// What could be.
        known: Vec<String>,
    },
    /// A brace without its partner.
    #[error("line {line}: a brace in {text:?} has no partner")]
    Brace {
        /// The line, from 1.
        line: usize,
        /// The template.
        text: String,
    },
    /// A rule that both renames and drops.
    #[error("line {line}: a rule has either `to` or `drop`, not both")]
    RenameAndDrop {
        /// The line, from 1.
        line: usize,
    },
    /// Sequences without the sizes that they depend on.
    #[error(
        "has sequences and no `[sizes]`, which says where resolution, levels and blocks are found"
    )]
    NoSizes,

    /// A network of another kind.
    #[error("is for networks with `{field}` = {expected}; this one has {found}")]
    Requires {
        /// The field of the configuration.
        field: String,
        /// What it must be.
        expected: Json,
        /// What it is.
        found: Json,
    },
    /// A number that the configuration lacks.
    #[error("needs `{0}` of the network's configuration, a whole number or a list")]
    Size(String),
    /// A tensor that the layout does not know.
    #[error("has no rule for the tensor `{0}`")]
    NoRule(String),
    /// Something that a dictionary does not have.
    #[error("tensor `{tensor}`: `{word}` is not in `{dictionary}`, which has {known}")]
    Word {
        /// The tensor.
        tensor: String,
        /// What was looked up.
        word: String,
        /// Where.
        dictionary: String,
        /// What it has.
        known: String,
    },
    /// A shape that a step cannot change.
    #[error("tensor `{tensor}` of shape {shape:?} {reason}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Why not.
        reason: String,
    },
    /// Heads that are not known.
    #[error(
        "tensor `{0}`: the order of its rows depends on the attention heads, which shapes do not tell; \
         give `num_head_channels` or `num_heads`"
    )]
    Heads(String),
    /// An order that is not known.
    #[error("tensor `{0}`: the order of its rows is not known; give `use_new_attention_order`")]
    Order(String),
}
