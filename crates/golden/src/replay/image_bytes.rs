//! `uint8`: from values to bytes and back.

use super::Replayed;
use crate::{Result, Tolerance};
use metrics::{ByteRule, ByteScale};
use testkit::GoldenCase;

pub(super) fn replay(case: &GoldenCase) -> Result<Replayed> {
    let exact = Tolerance::Relative(0.0);
    let mut replayed = Replayed::default();
    replayed.given(["x", "bytes"]);
    for (name, rule) in [
        ("edm", ByteRule::Edm),
        ("cm", ByteRule::ConsistencyModels),
        ("round", ByteRule::Round),
        ("save_image", ByteRule::SaveImage),
        ("pil_float", ByteRule::PilFloat),
    ] {
        replayed.insert_within(exact, name, rule.encode(case.tensor("x")?));
    }
    for (name, scale) in [
        ("from_edm", ByteScale::Edm),
        ("from_totensor", ByteScale::ToTensor),
        ("from_inception", ByteScale::Inception),
    ] {
        replayed.insert_within(exact, name, scale.decode(case.tensor("bytes")?));
    }
    Ok(replayed)
}
