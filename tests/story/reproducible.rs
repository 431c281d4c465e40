//! The seed alone decides a run.

use crate::tiny::{build, config, pictures};
use crate::watch::{Bits, Recorder};
use fewstep::distill_losses::MethodInfo;
use fewstep::prelude::*;
use std::thread;

const N_STEPS: usize = 4;

/// Everything that a run logs.
fn logged(entry: &MethodInfo, seed: u64) -> Vec<Bits> {
    let config = TrainConfig { seed, ..config(entry, N_STEPS) };
    let recorder = Recorder::default();
    let mut trainer =
        Trainer::new(build(entry), config, Device::Cpu).unwrap().observe(recorder.clone());
    assert_eq!(trainer.run(&mut pictures()).unwrap(), Outcome::Finished);
    recorder.bits()
}

#[test]
fn the_same_seed_gives_the_same_losses_whatever_runs_beside_it() {
    let jobs: Vec<_> =
        METHODS.iter().flat_map(|entry| [(entry, 3), (entry, 3), (entry, 4)]).collect();
    let runs: Vec<_> = thread::scope(|scope| {
        let run = |(entry, seed)| scope.spawn(move || logged(entry, seed));
        let threads: Vec<_> = jobs.into_iter().map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (entry, runs) in METHODS.iter().zip(runs.chunks_exact(3)) {
        let [first, second, other] = runs else { unreachable!("three runs a method") };
        assert_eq!(first, second, "`{}`: one seed, two loss sequences", entry.name);
        assert_eq!(*first, logged(entry, 3), "`{}`: alone it takes another course", entry.name);
        assert_eq!(first.len(), N_STEPS);
        for ((step, terms), (_, of_other)) in first.iter().zip(other) {
            assert!(!terms.is_empty() && terms.keys().eq(of_other.keys()));
            let same = terms.iter().find(|(name, bits)| of_other[*name] == **bits);
            assert_eq!(same, None, "`{}`, step {step}: two seeds, one value", entry.name);
        }
    }
}
