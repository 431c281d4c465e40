//! What holds for every network: laws, checked over the list in `networks.rs`.

mod attention;
mod evaluation;
mod features;
mod networks;
mod precision;
