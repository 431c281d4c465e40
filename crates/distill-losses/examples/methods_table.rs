//! Prints the table of methods in Markdown; `cargo xtask methods-table` puts it into the README.

#![allow(clippy::print_stdout)] // its output is the point

fn main() {
    print!("{}", distill_losses::markdown_table());
}
