//! Cleaning a text before it becomes tokens.

use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// The text as CLIP's tokenizer sees it, except for its case and its white space, which do not matter behind.
pub(super) fn clean(text: &str) -> String {
    let text = plain(&unescaped(text));
    unescaped(&unescaped(&text)).into_owned()
}

/// HTML entities as characters.
fn unescaped(text: &str) -> Cow<'_, str> {
    html_escape::decode_html_entities(text)
}

/// Characters that look alike as one of them; composed where possible.
fn plain(text: &str) -> String {
    let visible = text.nfc().filter(|character| !is_control(*character));
    visible.flat_map(unligated).map(straight).nfc().collect()
}

/// Whether a character shows nothing and separates nothing.
fn is_control(character: char) -> bool {
    matches!(character, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1f' | '\x7f')
        || matches!(character, '\u{206a}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffc}')
}

/// Ligatures and letters of full or half width as plain ones; other characters as they are.
fn unligated(character: char) -> impl Iterator<Item = char> {
    let is_joined = matches!(character, 'Ĳ' | 'ĳ' | 'ŉ' | 'Ǆ'..='ǌ' | 'Ǳ'..='ǳ' | 'ﬀ'..='ﬆ');
    let is_wide = matches!(character, '\u{3000}' | '\u{ff01}'..='\u{ffef}');
    let (compatible, alone) = match is_joined || is_wide {
        true => (Some(character), None),
        false => (None, Some(character)),
    };
    compatible.into_iter().nfkc().chain(alone)
}

/// Curly quotes straight; other characters as they are.
fn straight(character: char) -> char {
    match character {
        '\u{2018}'..='\u{201b}' | '\u{02bc}' => '\'',
        '\u{201c}'..='\u{201f}' => '"',
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_alike_becomes_one() {
        for (text, cleaned) in [
            ("the cat’s “tail”", "the cat's \"tail\""),
            ("ﬁne ﬂag, ＡＢＣ！", "fine flag, ABC!"),
            ("ŉ ǆ Ĳ", "'n dž IJ"),
            ("cafe\u{301}", "café"),
            ("a\u{0}b\u{feff}c", "abc"),
            ("fish &amp; chips", "fish & chips"),
            ("fish &amp;amp; chips &lt;b&gt; &#233;", "fish & chips <b> é"),
            ("½ m² ½", "½ m² ½"),
            ("plain text, 100 %", "plain text, 100 %"),
        ] {
            assert_eq!(clean(text), cleaned);
        }
    }
}
