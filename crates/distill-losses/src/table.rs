//! The only list of methods.

use crate::methods::{consistency, easy_consistency, score_identity, teacher};
use crate::{Distiller, Error, Ingredients, Result};
use distill_trainer::{Role, RoleConfig};
use std::collections::BTreeMap;

/// Every method. The README's table is made from it.
pub static METHODS: &[MethodInfo] = &[
    teacher::INFO,
    score_identity::INFO,
    consistency::DISTILLATION_INFO,
    consistency::TRAINING_INFO,
    easy_consistency::INFO,
];

/// What is known about a method, and how it is made.
#[derive(Debug, Clone, Copy)]
pub struct MethodInfo {
    /// The one word that selects it.
    pub name: &'static str,
    /// Its full name.
    pub title: &'static str,
    /// The paper.
    pub paper: &'static str,
    /// The roles of its players.
    pub players: &'static [Role],
    /// Whether it needs a trained teacher.
    pub needs_teacher: bool,
    /// Its file under `methods/`.
    pub file: &'static str,
    /// One line on how it works.
    pub summary: &'static str,
    /// The published settings by role (for CIFAR-10, hundreds of millions of images).
    pub published: fn() -> BTreeMap<String, RoleConfig>,
    /// Settings by role for runs that two cores can do: some 50 to 1,000 kimg.
    pub short_run: fn() -> BTreeMap<String, RoleConfig>,
    /// What a run of so many kimg and steps changes in the options, so that schedules fit into it.
    pub short_options: fn(f64, u64) -> toml::Table,
    /// Its options with their published defaults.
    pub options: fn() -> toml::Table,
    /// Makes it from a teacher, initial weights and options; options that are not given keep their defaults.
    pub build: fn(&Ingredients<'_>, &toml::Table) -> Result<Box<dyn Distiller>>,
}

/// The method of that name.
///
/// # Errors
/// [`Error::UnknownMethod`] with the known names and the closest one.
pub fn method(name: &str) -> Result<&'static MethodInfo> {
    METHODS.iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownMethod {
        name: name.into(),
        suggestion: closest(name),
        known: METHODS.iter().map(|entry| entry.name).collect(),
    })
}

/// The table of methods in Markdown, as the README shows it.
pub fn markdown_table() -> String {
    let mut table = String::from(
        "| name | method | paper | players | needs a teacher | file |\n|---|---|---|---|---|---|\n",
    );
    for MethodInfo { name, title, paper, players, needs_teacher, file, summary, .. } in METHODS {
        let players: Vec<_> = players.iter().map(|role| role.0).collect();
        let id = paper.trim_start_matches("arXiv:");
        table += &format!(
            "| `{name}` | {title}: {summary} | [{paper}](https://arxiv.org/abs/{id}) | {} | {} | \
             [`{file}`](crates/distill-losses/src/methods/{file}) |\n",
            players.join(", "),
            if *needs_teacher { "yes" } else { "no" },
        );
    }
    table
}

/// The known name with the fewest edits, if there are at most two and they leave something of it.
fn closest(name: &str) -> Option<&'static str> {
    METHODS
        .iter()
        .map(|entry| (strsim::osa_distance(name, entry.name), entry.name))
        .min()
        .filter(|(distance, name)| *distance <= 2 && *distance < name.len())
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for entry in METHODS {
            assert_eq!(method(entry.name).unwrap().title, entry.title);
            assert_eq!(METHODS.iter().filter(|other| other.name == entry.name).count(), 1);
        }
    }

    #[test]
    fn every_row_names_its_players_and_options() {
        for entry in METHODS {
            let mut players: Vec<_> = entry.players.iter().map(Role::to_string).collect();
            players.sort();
            for roles in [entry.published, entry.short_run] {
                let configured: Vec<_> = roles().into_keys().collect();
                assert_eq!(configured, players, "{}", entry.name);
            }
            assert!(!(entry.options)().is_empty(), "{} has no options", entry.name);
        }
    }

    #[test]
    fn the_closest_name_is_suggested_if_it_is_close() {
        assert_eq!(
            ["sdi", "teachr", "xyz", ""].map(closest),
            [Some("sid"), Some("teacher"), None, None]
        );
    }
}
