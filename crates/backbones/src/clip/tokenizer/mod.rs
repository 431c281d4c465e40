//! Texts as tokens.

mod clean;

use crate::{Error, Result};
use clean::clean;
use instant_clip_tokenizer::{Token, Tokenizer};
use std::fmt;
use tch::Tensor;

/// CLIP's tokenizer: byte pairs of lower-cased words, 49,408 tokens, the vocabulary of all published models.
///
/// Texts are cleaned before as by CLIP and `OpenCLIP`, which use ftfy: HTML entities become characters, curly quotes straight
/// ones, ligatures and full-width letters plain ones, control characters vanish, and characters are composed (NFC). Not
/// done is to guess at text that was decoded wrongly (`â€œ` stays), to drop terminal escapes, and to find entities without
/// a semicolon. The fast tokenizers of transformers only compose, and so give other tokens for curly quotes.
///
/// # Example
/// ```
/// let tokenizer = backbones::ClipTokenizer::new();
/// assert_eq!(tokenizer.encode("A photo depicts a cat’s tail"), [320, 1125, 29340, 320, 2368, 568, 4132]);
/// let tokens = tokenizer.tokenize(&["a cat"])?;
/// assert_eq!(tokens.size(), [1, 77]);
/// assert_eq!(Vec::<i64>::try_from(tokens.get(0)).unwrap()[..5], [49406, 320, 2368, 49407, 0]);
/// # Ok::<(), backbones::Error>(())
/// ```
pub struct ClipTokenizer {
    inner: Tokenizer,
}

impl ClipTokenizer {
    /// Tokens of a text, with those of its start and end: that of all published models.
    pub const CONTEXT: i64 = 77;

    /// The tokenizer with the published vocabulary, which is part of the program. Takes some tens of milliseconds.
    pub fn new() -> Self {
        Self { inner: Tokenizer::new() }
    }

    /// The tokens of a text of any length, without those of its start and end.
    pub fn encode(&self, text: &str) -> Vec<i64> {
        let mut tokens = Vec::new();
        self.inner.encode(&clean(text), &mut tokens);
        tokens.into_iter().map(number).collect()
    }

    /// The input of a [`ClipText`](crate::ClipText), `[N, 77]`, `i64`: start of text, tokens, end of text, zeros. A longer
    /// text loses its last tokens, never its end.
    ///
    /// # Errors
    /// [`Error::NoTexts`] without any text.
    pub fn tokenize(&self, texts: &[impl AsRef<str>]) -> Result<Tensor> {
        if texts.is_empty() {
            return Err(Error::NoTexts);
        }
        let rows: Vec<i64> = texts.iter().flat_map(|text| self.row(text.as_ref())).collect();
        Ok(Tensor::from_slice(&rows).view([-1, Self::CONTEXT]))
    }

    fn row(&self, text: &str) -> Vec<i64> {
        let context = Self::CONTEXT as usize;
        let mut row = vec![number(self.inner.start_of_text())];
        row.extend(self.encode(text));
        row.truncate(context - 1);
        row.push(number(self.inner.end_of_text()));
        row.resize(context, 0);
        row
    }
}

impl Default for ClipTokenizer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ClipTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClipTokenizer").finish_non_exhaustive()
    }
}

fn number(token: Token) -> i64 {
    token.to_u16().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: i64 = 49_407;

    #[test]
    fn a_long_text_keeps_its_end() {
        let tokenizer = ClipTokenizer::new();
        let texts = ["", "cat ".repeat(75).as_str(), "cat ".repeat(76).as_str()].map(String::from);
        let tokens = tokenizer.tokenize(&texts).unwrap();
        let row = |row: i64| Vec::<i64>::try_from(tokens.get(row)).unwrap();
        assert_eq!(row(0)[1..], [&[END][..], &[0; 75]].concat());
        assert_eq!(row(1), row(2));
        assert_eq!((row(2)[75], row(2)[76]), (2368, END));
    }

    #[test]
    fn a_prefix_is_the_same_before_and_after_tokenizing() {
        let tokenizer = ClipTokenizer::new();
        for text in ["a cat", "'s tail", "", "  ¡x!", &"dog ".repeat(90)] {
            let prefix = "A photo depicts ";
            let whole = tokenizer.encode(&format!("{prefix}{text}"));
            assert_eq!(whole, [tokenizer.encode(prefix), tokenizer.encode(text)].concat());
        }
    }

    #[test]
    fn no_text_is_an_error() {
        let none: [&str; 0] = [];
        assert!(matches!(ClipTokenizer::new().tokenize(&none), Err(Error::NoTexts)));
    }
}
