//! The cases in the repository replay, so do others of their families, and the replayer can fail.

mod checkpoints;
mod failures;
mod files;
mod variants;

use golden::{Summary, run};

#[test]
fn every_case_in_the_repository_is_reproduced() {
    let mut report = Vec::new();
    let summary = run(&files::cases(), &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert_eq!(summary, Summary { ok: 142, failed: 0, skipped: 0 }, "\n{report}");
    assert!(report.ends_with("\n142 ok, 0 failed, 0 skipped\n"), "{report}");
    for (stem, _) in golden::REPLAYERS {
        assert!(report.contains(&format!("ok   {stem}")), "no case begins with {stem}");
    }
}
