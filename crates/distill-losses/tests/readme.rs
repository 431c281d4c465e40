//! The README's table of methods is the one that `METHODS` makes.

use distill_losses::markdown_table;
use std::path::Path;

#[test]
fn the_readme_shows_every_method_as_it_is() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path).expect("README.md is in the root of the workspace");
    let (_, rest) =
        readme.split_once("<!-- methods:begin -->\n").expect("the table has a beginning");
    let (table, _) = rest.split_once("<!-- methods:end -->").expect("the table has an end");
    assert_eq!(table.trim(), markdown_table().trim(), "run `cargo xtask methods-table`");
}
