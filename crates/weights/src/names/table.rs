//! Dictionaries: words, and the numbered modules of a U-Net.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Words for words.
pub(super) type Words = BTreeMap<String, String>;

/// How large a U-Net is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Pixels a side at the finest level.
    pub(super) resolution: u64,
    /// Levels, each of half the resolution of the one before.
    pub(super) levels: u64,
    /// Residual blocks of a level of the encoder.
    pub(super) blocks: u64,
}

/// The modules of a list in order of their numbers: for each level its entries.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sequence {
    levels: Direction,
    entries: Vec<Entry>,
}

/// The levels that a list goes through.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Direction {
    FineToCoarse,
    CoarseToFine,
    Coarsest,
}

/// Modules in a row.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The word for the module: `{r}` is the resolution, `{2r}` twice it, `{n}` counts from 0. Without it the number is
    /// skipped.
    name: Option<String>,
    #[serde(default)]
    times: Times,
    #[serde(default)]
    levels: Levels,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Times {
    #[default]
    Once,
    Blocks,
    BlocksAndOne,
}

/// At which of the levels, in the direction of the list.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Levels {
    #[default]
    All,
    First,
    NotFirst,
    NotLast,
}

impl Sequence {
    /// The words for the numbers 0, 1, 2, … in a network of that size.
    pub(super) fn expand(&self, numbers: &Numbers) -> Words {
        let levels: Vec<u64> = match self.levels {
            Direction::FineToCoarse => (0..numbers.levels).collect(),
            Direction::CoarseToFine => (0..numbers.levels).rev().collect(),
            Direction::Coarsest => numbers.levels.checked_sub(1).into_iter().collect(),
        };
        let (mut words, mut number) = (Words::new(), 0);
        for (place, &level) in levels.iter().enumerate() {
            let resolution = numbers.resolution.checked_shr(level as u32).unwrap_or(0);
            for entry in self.entries.iter().filter(|e| e.levels.include(place, levels.len())) {
                for n in 0..entry.times.count(numbers.blocks) {
                    if let Some(name) = &entry.name {
                        words.insert(number.to_string(), fill(name, resolution, n));
                    }
                    number += 1;
                }
            }
        }
        words
    }
}

impl Times {
    fn count(self, blocks: u64) -> u64 {
        match self {
            Self::Once => 1,
            Self::Blocks => blocks,
            Self::BlocksAndOne => blocks + 1,
        }
    }
}

impl Levels {
    fn include(self, place: usize, count: usize) -> bool {
        match self {
            Self::All => true,
            Self::First => place == 0,
            Self::NotFirst => place > 0,
            Self::NotLast => place + 1 < count,
        }
    }
}

fn fill(name: &str, resolution: u64, n: u64) -> String {
    let twice = (2 * resolution).to_string();
    let name = name.replace("{r}", &resolution.to_string()).replace("{2r}", &twice);
    name.replace("{n}", &n.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(text: &str) -> Vec<(String, String)> {
        let sequence: Sequence = toml::from_str(text).unwrap();
        let numbers = Numbers { resolution: 8, levels: 2, blocks: 2 };
        let mut words: Vec<_> = sequence.expand(&numbers).into_iter().collect();
        words.sort_by_key(|(number, _)| number.parse::<u64>().unwrap());
        words
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|&(number, word)| (number.into(), word.into())).collect()
    }

    #[test]
    fn levels_are_gone_through_in_order() {
        let encoder = "levels = 'fine-to-coarse'\nentries = [{ name = '{r}_conv', levels = 'first' }, \
            { name = '{r}_down', levels = 'not-first' }, { name = '{r}_{n}', times = 'blocks' }]";
        let expected = [
            ("0", "8_conv"),
            ("1", "8_0"),
            ("2", "8_1"),
            ("3", "4_down"),
            ("4", "4_0"),
            ("5", "4_1"),
        ];
        assert_eq!(expand(encoder), pairs(&expected));
        let up = "levels = 'coarse-to-fine'\nentries = [{ times = 'blocks' }, { name = '{2r}_up', levels = 'not-last' }]";
        assert_eq!(expand(up), pairs(&[("2", "8_up")]));
        let middle = "levels = 'coarsest'\nentries = [{ name = '{r}_in' }]";
        assert_eq!(expand(middle), pairs(&[("0", "4_in")]));
    }
}
