//! In what a saved configuration differs from the present one.

use serde_json::Value;

/// The leaves in which two configurations differ, by dotted name, with both values.
pub(crate) fn differences(name: &str, saved: &Value, now: &Value) -> Vec<String> {
    if saved == now {
        return Vec::new();
    }
    let (Value::Object(saved), Value::Object(now)) = (saved, now) else {
        return vec![format!("{name} was {saved}, now {now}")];
    };
    let dotted = |key: &str| if name.is_empty() { key.into() } else { format!("{name}.{key}") };
    let changed = now.iter().flat_map(|(key, now)| match saved.get(key) {
        Some(saved) => differences(&dotted(key), saved, now),
        None => vec![format!("{} is new: {now}", dotted(key))],
    });
    let gone = saved.iter().filter(|(key, _)| !now.contains_key(*key));
    changed
        .chain(gone.map(|(key, saved)| format!("{} was {saved}, now gone", dotted(key))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_are_named_by_their_path() {
        let saved = json!({ "a": { "b": 1.0, "c": [1, 2] }, "d": null, "e": 1 });
        let now = json!({ "a": { "b": 1.5, "c": [1, 2] }, "d": { "f": 2 }, "g": true });
        let expected = [
            "a.b was 1.0, now 1.5",
            r#"d was null, now {"f":2}"#,
            "g is new: true",
            "e was 1, now gone",
        ];
        assert_eq!(differences("", &saved, &now), expected);
        assert_eq!(differences("", &now, &now), [""; 0]);
    }
}
