//! What a step does to weights, averages and the log, on a method without randomness.

use super::*;
use crate::fixture::{BATCH, Doubling, FIRST, Log, Numbered, SECOND, config, trainer, weights};
use crate::{Algorithm, EmaConfig, EmaSnapshots, OnNonFinite, OptimizerConfig};
use crate::{RoleConfig, TrainConfig};
use std::collections::BTreeMap;

const DATA: Numbered = Numbered { batch: 0, poisoned: None };

fn run(method: Doubling, config: TrainConfig) -> (Trainer<Doubling>, Log) {
    let (mut trainer, log) = trainer(method, config).unwrap();
    trainer.run(&mut Numbered { ..DATA }).unwrap();
    (trainer, log)
}

fn largest_difference(a: &BTreeMap<String, Tensor>, b: &BTreeMap<String, Tensor>) -> f64 {
    let pairs = a.values().zip(b.values());
    pairs.map(|(a, b)| (a - b).abs().max().double_value(&[])).fold(0.0, f64::max)
}

#[test]
fn micro_batches_move_the_weights_as_the_whole_batch_does() {
    // Adam with a large `eps` follows the gradient's length, not only its sign.
    let optimizer = OptimizerConfig { eps: 1.0, lr: 0.1, ..OptimizerConfig::default() };
    let role = RoleConfig { optimizer, clip_norm: Some(0.5), ..RoleConfig::default() };
    let (whole, log) = run(Doubling::new(false), config(4, &role));
    for images in [1, 4, 6, 100] {
        let config = TrainConfig { micro_batch: Some(images), ..config(4, &role) };
        let (parts, other) = run(Doubling::new(false), config);
        let difference = largest_difference(&weights(&whole), &weights(&parts));
        assert!(difference < 1e-6, "in parts of {images}: off by {difference}");
        for (a, b) in log.borrow().iter().zip(other.borrow().iter()) {
            assert!(a.keys().eq(b.keys()));
            let close = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5;
            assert!(a.values().zip(b.values()).all(close), "{a:?} {b:?}");
        }
    }
}

#[test]
fn one_turn_of_two_players_is_two_turns_of_one() {
    let role = RoleConfig { clip_norm: Some(0.5), ..RoleConfig::default() };
    let [(together, log), (apart, _)] =
        [true, false].map(|together| run(Doubling::new(together), config(3, &role)));
    assert_eq!(weights(&together), weights(&apart));
    let norms = ["grad_norm/first", "grad_norm/second"].map(|n| log.borrow()[0][n]);
    assert!(norms[0] > 0.0 && norms[0] != norms[1]);
}

#[test]
fn gradients_are_gone_after_a_run_and_what_has_none_stays() {
    let (mut trained, _) = run(Doubling::new(true), config(3, &RoleConfig::default()));
    let before =
        weights(&trainer(Doubling::new(true), config(1, &RoleConfig::default())).unwrap().0);
    let after = weights(&trained);
    for (name, tensor) in &before {
        assert_eq!(*tensor == after[name], name.ends_with("unused"), "{name}");
    }
    let players = trained.method.players();
    assert!(
        players.iter().flat_map(|p| p.parameters.trained()).all(|p| !p.tensor.grad().defined())
    );

    // A second trainer of the same networks finds them as the first has left them, and the first one sees its moves.
    let method = std::mem::replace(&mut trained.method, Doubling::new(true));
    let (second, _) = run(method, config(2, &RoleConfig::default()));
    assert!(largest_difference(&after, &weights(&second)) > 0.0);
    let state = trained.players[0].state();
    assert_eq!(state.tensors["weights.head"], weights(&second)["0.head"]);
}

#[test]
fn what_is_frozen_by_name_never_moves_and_takes_no_memory() {
    let ema = Some(EmaConfig::Constant { decay: 0.5 });
    let optimizer = OptimizerConfig { weight_decay: 0.1, ..OptimizerConfig::default() };
    let freeze = vec!["body.*".to_owned()];
    let role = RoleConfig { freeze, ema, optimizer, ..RoleConfig::default() };
    let (trainer, _) = trainer(Doubling::new(true), config(3, &role)).unwrap();
    let before = weights(&trainer);
    let (trained, _) = run(Doubling::new(true), config(3, &role));
    for (name, tensor) in weights(&trained) {
        assert_eq!(tensor == before[&name], name.contains("body"), "{name}");
    }
    let state = trained.players[0].state();
    assert_eq!(state.tensors["weights.body.bias"], before["0.body.bias"]);
    let names: Vec<_> = state.tensors.keys().filter(|name| name.contains("body")).collect();
    assert_eq!(names, ["weights.body.bias", "weights.body.weight"]);
    let _averages = trained.averaged();
    assert_eq!(weights(&trained)["1.body.weight"], before["1.body.weight"]);

    let refused = |pattern: &str| {
        let freeze = vec![pattern.to_owned()];
        let role = RoleConfig { freeze, ..RoleConfig::default() };
        crate::fixture::trainer(Doubling::new(true), config(1, &role)).unwrap_err()
    };
    assert!(matches!(refused("*"), Error::AllFrozen { role } if role == "first"));
    let Error::NoSuchParameter { field, close, .. } = refused("bdy.*") else { panic!() };
    assert_eq!((&field[..], &close[0][..]), ("roles.first.freeze[0]", "body.bias"));
}

/// The verdict that stays on the device, as on CUDA, and the one at once end in the same weights and logs.
#[test]
fn bad_turns_are_answered_alike_now_and_later() {
    for algorithm in [Algorithm::AdamW, Algorithm::RAdam] {
        for policy in [OnNonFinite::SkipStep, OnNonFinite::ZeroGrad] {
            let optimizer = OptimizerConfig { algorithm, ..OptimizerConfig::default() };
            let role = RoleConfig { optimizer, clip_norm: Some(0.5), ..RoleConfig::default() };
            let config = TrainConfig { on_non_finite: policy, ..config(9, &role) };
            let [now, later] = [false, true].map(|deferred| {
                let (mut trainer, log) = trainer(Doubling::new(true), config.clone()).unwrap();
                trainer.non_finite.defer(deferred);
                trainer.run(&mut Numbered { poisoned: Some(6), ..DATA }).unwrap();
                (weights(&trainer), log.take())
            });
            assert_eq!(now, later, "{algorithm:?} {policy:?}");
            assert!(now.0.values().all(|t| t.isfinite().all().int64_value(&[]) == 1));
            assert!(!now.1[6].contains_key("both/loss") && now.1[7].contains_key("both/loss"));
            let counts = now.1.iter().map(|row| row["health/non_finite"]);
            assert!(counts.eq([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]));
        }
    }
}

#[test]
fn a_turn_that_is_left_out_is_told_of() {
    for deferred in [false, true] {
        let role = RoleConfig::default();
        let config = TrainConfig { on_non_finite: OnNonFinite::SkipStep, ..config(9, &role) };
        let (mut trainer, _) = trainer(Doubling::new(true), config).unwrap();
        trainer.non_finite.defer(deferred);
        let mut source = Numbered { poisoned: Some(0), ..DATA };
        let batch = source.next_batch(BATCH).unwrap();
        trainer.step(batch, &mut source).unwrap();
        trainer.non_finite.settle().unwrap();
        let told = "step 0, turn `both`: the loss is not finite; the turn was left out";
        assert_eq!(trainer.non_finite.take_notes(), [told]);
        assert_eq!((trainer.non_finite.take_notes().len(), trainer.non_finite.count()), (0, 1));
    }
}

#[test]
fn a_deferred_error_names_the_first_bad_turn() {
    let (mut trainer, log) = trainer(
        Doubling::new(false),
        TrainConfig { tick_kimg: 1.0, ..config(5, &RoleConfig::default()) },
    )
    .unwrap();
    trainer.non_finite.defer(true);
    let error = trainer.run(&mut Numbered { poisoned: Some(2), ..DATA }).unwrap_err();
    let Error::At { source, progress } = error else { panic!("{error}") };
    assert_eq!(progress.step, 5, "the bad turn is noticed when the log is due");
    let Error::NonFinite { step, turn, what } = *source else { panic!("{source}") };
    assert_eq!((step, turn, &what[..]), (2, "one", "the loss"));
    assert!(log.borrow().is_empty());
    let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) == 1;
    assert!(weights(&trainer).values().all(finite));
}

#[test]
fn any_number_of_averages_is_tracked_saved_and_restored() {
    let constant = |decay| EmaConfig::Constant { decay };
    let ema = Some(constant(0.5));
    let more_emas = vec![constant(0.75), EmaConfig::Power { std: 0.1 }];
    let role = RoleConfig { ema, more_emas, ..RoleConfig::default() };
    let (trained, _) = run(Doubling::new(true), config(1, &role));
    let start = weights(&trainer(Doubling::new(true), config(1, &role)).unwrap().0);
    let now = weights(&trained);
    let (start, now) = (&start["0.head"], &now["0.head"]);
    let averages = trained.emas(FIRST);
    assert_eq!(averages.len(), 3);
    let expected = [0.5, 0.75, 0.0].map(|decay| start * decay + now * (1.0 - decay));
    for (average, expected) in averages.iter().zip(expected) {
        let found = &average.state().tensors["head"];
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
    }
    let state = trained.players[0].state();
    for (key, average) in ["ema", "ema-1", "ema-2"].iter().zip(averages) {
        assert_eq!(state.tensors[&format!("{key}.head")], average.state().tensors["head"]);
    }
    let (mut fresh, _) = trainer(Doubling::new(true), config(1, &role)).unwrap();
    fresh.players[0].load_state(&state).unwrap();
    assert_eq!(fresh.players[0].state().tensors, state.tensors);
    let _averages = trained.averaged();
    assert_eq!(weights(&trained)["0.head"], averages[0].state().tensors["head"]);
    assert!(trained.emas(Role("nobody")).is_empty());
}

#[test]
fn snapshots_are_taken_as_often_as_asked() {
    let folder = tempfile::tempdir().unwrap();
    let more_emas = vec![EmaConfig::Power { std: 0.05 }, EmaConfig::Power { std: 0.1 }];
    let role = RoleConfig { more_emas, ..RoleConfig::default() };
    let snapshots = EmaSnapshots::create(folder.path()).unwrap();
    let every = 2.0 * BATCH as f64 / 1000.0;
    std::fs::write(folder.path().join("000000999-0.05.safetensors"), b"of another run").unwrap();
    let (trainer, _) = trainer(Doubling::new(true), config(5, &role)).unwrap();
    let mut trainer = trainer.snapshots(snapshots.clone(), SECOND, every).unwrap();
    trainer.run(&mut Numbered { ..DATA }).unwrap();
    let images: Vec<u64> = snapshots.list().unwrap().iter().map(|(_, p)| p.images).collect();
    assert_eq!(images, [12, 12, 24, 24]);

    let (plain, _) = run(Doubling::new(true), config(1, &RoleConfig::default()));
    let error = plain.snapshots(snapshots, SECOND, 1.0).unwrap_err();
    assert!(error.to_string().contains("roles.second.more_emas"), "{error}");
}

#[test]
fn precision_is_decided_by_run_or_role() {
    let bf16 = |together: bool, run_precision: Precision, first: Option<Precision>| {
        let mut config = config(1, &RoleConfig::default());
        config.precision = run_precision;
        config.roles.get_mut("first").unwrap().precision = first;
        let (mut trainer, log) = trainer(Doubling::new(together), config)?;
        trainer.run(&mut Numbered { ..DATA })?;
        let log = log.borrow()[0].clone();
        Ok::<_, Error>(["one/bf16", "two/bf16"].map(|name| log.get(name).copied()))
    };
    let (f32, half) = (Precision::F32, Precision::Bf16);
    assert_eq!(bf16(false, f32, None).unwrap(), [Some(0.0), Some(0.0)]);
    assert_eq!(bf16(false, half, None).unwrap(), [Some(1.0), Some(1.0)]);
    assert_eq!(bf16(false, f32, Some(half)).unwrap(), [Some(1.0), Some(0.0)]);
    assert_eq!(bf16(false, half, Some(f32)).unwrap(), [Some(0.0), Some(1.0)]);
    let message = bf16(true, f32, Some(half)).unwrap_err().to_string();
    assert!(message.contains("`roles.second.precision` = f32"), "{message}");
    assert!(bf16(true, f32, Some(f32)).is_ok());

    let auto = TrainConfig { precision: Precision::Auto, ..TrainConfig::default() };
    let (trainer, _) = trainer(Doubling::new(true), auto).unwrap();
    assert_eq!(trainer.config.precision, Precision::Auto.resolve(tch::Device::Cpu));
}
