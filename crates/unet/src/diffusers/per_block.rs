//! Settings that may differ from block to block.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One value for all blocks, or a list with one for each, from fine to coarse.
///
/// # Example
/// ```
/// use unet::PerBlock;
/// let heads: PerBlock<i64> = serde_json::from_str("[5, 10, 20]")?;
/// assert_eq!(heads, PerBlock::Each(vec![5, 10, 20]));
/// assert_eq!(serde_json::from_str::<PerBlock<i64>>("8")?, PerBlock::All(8));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a value for all blocks or a list with one value for each")]
pub enum PerBlock<T> {
    /// A value for each block.
    Each(Vec<T>),
    /// The value of every block.
    All(T),
}

impl<T> PerBlock<T> {
    /// The value of block number `block`, within the length that was checked.
    pub(crate) fn at(&self, block: usize) -> &T {
        match self {
            Self::Each(values) => &values[block],
            Self::All(value) => value,
        }
    }

    /// Every value that is stated.
    pub(crate) fn values(&self) -> &[T] {
        match self {
            Self::Each(values) => values,
            Self::All(value) => std::slice::from_ref(value),
        }
    }

    /// Whether every block has a value of its own.
    pub(crate) fn is_list(&self) -> bool {
        matches!(self, Self::Each(_))
    }

    /// Refuses a list of another length than there are blocks.
    pub(crate) fn check_length(&self, field: &'static str, blocks: usize) -> Result<()> {
        match self {
            Self::Each(values) if values.len() != blocks => {
                Err(Error::WrongCount { field, found: values.len(), expected: blocks })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_hold_lists() {
        let depths: PerBlock<PerBlock<i64>> = serde_json::from_str("[0, [2, 2], 4]").unwrap();
        let expected = [PerBlock::All(0), PerBlock::Each(vec![2, 2]), PerBlock::All(4)];
        assert_eq!(depths, PerBlock::Each(expected.into()));
        assert_eq!((*depths.at(1).at(1), *depths.at(2).at(7)), (2, 4));
        let depth: PerBlock<PerBlock<i64>> = serde_json::from_str("3").unwrap();
        assert_eq!(depth, PerBlock::All(PerBlock::All(3)));
        assert_eq!(serde_json::to_string(&depths).unwrap(), "[0,[2,2],4]");
    }

    #[test]
    fn a_list_has_a_value_for_each_block() {
        let heads = PerBlock::Each(vec![5, 10]);
        assert!(heads.check_length("attention_head_dim", 2).is_ok());
        let error = heads.check_length("attention_head_dim", 3).unwrap_err().to_string();
        assert!(error.contains("`attention_head_dim` has 2 values for 3 blocks"), "{error}");
        assert!(PerBlock::All(5).check_length("attention_head_dim", 3).is_ok());
    }
}
