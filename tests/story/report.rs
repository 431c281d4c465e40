//! The page of a run, from the files that its observers wrote.

use crate::tiny::{BATCH, SIZE, build, config, pictures, trainer};
use fewstep::distill_trainer::observer::{JsonLines, SampleGrid, TensorBoard};
use fewstep::prelude::*;
use run_report::Run;
use std::path::Path;

/// Runs the method for so many steps more, in `out`, as the examples do.
fn go_on(out: &Path, n_steps: usize) {
    let entry = method("sid").unwrap();
    let size = i64::from(SIZE);
    let labels: Vec<i64> = (0..4).collect();
    let cond = Cond::classes(&labels, crate::tiny::CLASSES, Device::Cpu);
    let grid = SampleGrid::new(out.join("samples"), [3, size, size], [2, 2], &Noise::new(0))
        .labeled(cond.unwrap());
    let mut trainer = trainer(build(entry), config(entry, n_steps), &out.join("checkpoints"))
        .label("SiD <tiny>")
        .observe(JsonLines::create(out.join("log.jsonl")).unwrap())
        .observe(TensorBoard::new(out.join("tensorboard")).with_samples(grid));
    let mut data = pictures();
    trainer.resume(&mut data).unwrap();
    trainer.run(&mut data).unwrap();
}

#[test]
fn a_run_and_its_resume_are_on_one_page() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("student");
    go_on(&out, 2);
    go_on(&out, 4);
    let page = Run::read(folder.path()).unwrap().html().unwrap();
    let kimg = |n_steps: usize| (n_steps * BATCH) as f64 / 1000.0;
    for text in [
        "<h1>SiD &#60;tiny&#62;</h1>",
        "<dt>Method</dt><dd>sid</dd>",
        "<dt>Device</dt><dd>cpu</dd>",
        "<dt>Resumed</dt><dd>1 time</dd>",
        &format!("{0} of {0} kimg", kimg(4)),
        "finished",
        "step-000000004",
        "sigma_init",
        "data:image/png;base64,",
    ] {
        assert!(page.contains(text), "`{text}` is missing");
    }
    for title in ["generator/loss", "fake-score/loss", "gradient norm", "learning rate"] {
        assert!(page.contains(&format!("<strong>{title}</strong>")), "no chart of {title}");
    }
    for n_steps in 1..=4 {
        let value = format!(" at {} kimg</title>", kimg(n_steps));
        assert!(page.contains(&value), "no value{value}");
    }
    assert_eq!(std::fs::read_dir(out.join("tensorboard")).unwrap().count(), 2);
}
