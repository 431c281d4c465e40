//! JSON as Python writes it.

use crate::{Error, Result};
use serde_json::{Map, Value};

/// Reads a JSON object in which infinities and NaN may stand bare, as Python writes them; they become text.
pub(super) fn object(text: &str) -> Result<Map<String, Value>> {
    let refuse = |error: serde_json::Error| Error::SchedulerJson { reason: error.to_string() };
    serde_json::from_str(&quote_non_numbers(text)).map_err(refuse)
}

/// Puts quotation marks around bare `Infinity`, `-Infinity` and `NaN`.
fn quote_non_numbers(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for (position, piece) in pieces(text).enumerate() {
        if position % 2 == 1 {
            quoted.push_str(piece); // inside of a string
            continue;
        }
        let marked = piece.replace("NaN", "\"NaN\"").replace("Infinity", "\"Infinity\"");
        quoted.push_str(&marked.replace("-\"Infinity\"", "\"-Infinity\""));
    }
    quoted
}

/// The text cut at the quotation marks of its strings: outside, string, outside, …; marks belong to the strings.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut cuts = vec![0];
    let (mut inside, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => {
                cuts.push(if inside { at + 1 } else { at });
                inside = !inside;
            }
            _ => {}
        }
    }
    cuts.push(text.len());
    (1..cuts.len()).map(move |i| &text[cuts[i - 1]..cuts[i]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_become_text_and_text_stays() {
        let read = object(
            r#"{"a": -Infinity, "NaN \" Infinity": "Infinity \\", "b": [NaN, 1.5, Infinity]}"#,
        );
        let expected = r#"{"a": "-Infinity", "NaN \" Infinity": "Infinity \\", "b": ["NaN", 1.5, "Infinity"]}"#;
        assert_eq!(read.unwrap(), serde_json::from_str::<Map<String, Value>>(expected).unwrap());
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "[]", "{", "{\"a\": -Infinit}", "\"Infinity", "{\"ä\": \"\\", "\u{feff}{}"]
        {
            assert!(matches!(object(text), Err(Error::SchedulerJson { .. })), "{text}");
        }
    }
}
