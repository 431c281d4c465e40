//! What the trainer promises every method.

use crate::faulty::Counted;
use crate::saved::{names, steps, tensors};
use crate::tiny::{BATCH, build, pictures, plain_config, trainer};
use crate::toy::{FIRST, FIRST_TURN, SECOND, SECOND_TURN, Toy};
use crate::watch::{Recorder, on_step, on_tick};
use fewstep::distill_trainer::{
    Decay, Directive, EmaConfig, Error, Flow, Objective, OptimizerConfig, Player, Progress, Role,
    Turn,
};
use fewstep::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// A method that plays one of its turns and no other.
struct Only(Box<dyn Distiller>, Turn);

impl DistillMethod for Only {
    fn players(&self) -> Vec<Player<'_>> {
        self.0.players()
    }

    fn turns(&self, _progress: Progress) -> Vec<Turn> {
        vec![self.1]
    }

    fn objective(
        &self,
        turn: &Turn,
        batch: &Batch,
        progress: Progress,
        noise: &mut Noise,
    ) -> Objective {
        self.0.objective(turn, batch, progress, noise)
    }

    fn student(&self) -> Box<dyn Generator + '_> {
        self.0.student()
    }
}

fn weights(method: &dyn DistillMethod) -> Vec<(Role, Vec<Tensor>)> {
    let copies = |parameters: &Parameters| {
        parameters.iter().map(|parameter| parameter.tensor.detach().copy()).collect()
    };
    method.players().iter().map(|player| (player.role, copies(player.parameters))).collect()
}

#[test]
fn a_turn_moves_its_players_and_nobody_else() {
    for entry in METHODS {
        for turn in build(entry).turns(Progress::default()) {
            let folder = tempfile::tempdir().unwrap();
            let mut trainer = trainer(Only(build(entry), turn), plain_config(1), folder.path());
            let before = weights(trainer.method());
            trainer.run(&mut pictures()).unwrap();
            for ((role, before), (_, after)) in before.iter().zip(weights(trainer.method())) {
                let what = format!("`{}`, turn `{}`: {role}", entry.name, turn.name);
                let moves = turn.trains.contains(role);
                assert_eq!(*before != after, moves, "{what}");
                let updates = tensors(folder.path(), 1, &format!("players.{role}:optimizer.step"));
                let expected = f64::from(u8::from(moves));
                assert!(updates.values().all(|n| n.double_value(&[]) == expected), "{what}");
            }
        }
    }
}

fn with_roles(config: TrainConfig, role: &RoleConfig) -> TrainConfig {
    let roles = [FIRST, SECOND].map(|player| (player.to_string(), role.clone()));
    TrainConfig { roles: roles.into(), ..config }
}

#[test]
fn a_reset_forgets_optimizer_and_average() {
    let wishes = |progress: Progress| match progress.step {
        3 => vec![Directive::Reset(FIRST)],
        _ => Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let role =
        RoleConfig { ema: Some(EmaConfig::Constant { decay: 0.9 }), ..RoleConfig::default() };
    let config = TrainConfig { checkpoint_kimg: 0.004, ..with_roles(plain_config(4), &role) };
    let method = Toy { wishes, ..Toy::new() };
    trainer(method, config, folder.path()).run(&mut pictures()).unwrap();
    let number = |step, name: &str| {
        let name = format!("players.{name}");
        tensors(folder.path(), step, &name)[&name].double_value(&[])
    };
    for (step, updates) in [(2, 2.0), (3, 0.0), (4, 1.0)] {
        assert_eq!(number(step, "first:optimizer.step"), updates, "after step {step}");
        assert_eq!(number(step, "second:optimizer.step"), step as f64, "after step {step}");
    }
    assert_eq!(number(3, "first:optimizer.exp_avg.w"), 0.0);
    assert_eq!(number(3, "first:optimizer.exp_avg_sq.w"), 0.0);
    assert_eq!(number(3, "first:ema.w"), number(3, "first:weights.w"));
    assert_ne!(number(2, "first:ema.w"), number(2, "first:weights.w"));
    assert_ne!(number(3, "second:ema.w"), number(3, "second:weights.w"));
    assert_eq!(number(3, "first:weights.w"), number(3, "second:weights.w"), "weights are kept");
}

/// A run of nine steps in which the method stops after step 3 or the observer does, if they are to.
fn stopped(method_stops: bool, observer_stops: bool) {
    let at_three = |progress: Progress| match progress.step {
        3 => vec![Directive::Stop],
        _ => Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::default();
    let toy = if method_stops { Toy { wishes: at_three, ..Toy::new() } } else { Toy::new() };
    let mut trainer = trainer(toy, plain_config(9), folder.path())
        .observe(recorder.clone())
        .observe(on_tick(move |tick, _| {
            let stop = observer_stops && tick.progress.step == 3;
            Ok(if stop { Flow::Stop } else { Flow::Continue })
        }));
    assert_eq!(trainer.run(&mut pictures()).unwrap(), Outcome::Stopped);
    assert_eq!(trainer.progress(), Progress { step: 3, images: 3 * BATCH as u64 });
    assert_eq!(recorder.ticks().len(), 3);
    assert_eq!(names(folder.path()), steps([2, 3]), "a checkpoint is due at the end");
}

#[test]
fn a_method_stops_the_run() {
    stopped(true, false);
}

#[test]
fn an_observer_stops_the_run() {
    stopped(false, true);
}

#[test]
fn turns_share_a_batch_unless_they_ask_for_their_own() {
    for (second, batches_a_step) in [(SECOND_TURN, 1), (SECOND_TURN.fresh_batch(), 2)] {
        let toy = Toy { turns: vec![FIRST_TURN, second, FIRST_TURN], ..Toy::new() };
        let seen = Rc::clone(&toy.seen);
        let mut data = Counted::new(pictures());
        Trainer::new(toy, plain_config(3), Device::Cpu).unwrap().run(&mut data).unwrap();
        assert_eq!(data.batches.get(), 3 * batches_a_step);

        let mut fresh = pictures();
        let mut next = || fresh.next_batch(BATCH).unwrap().images.double_value(&[0, 0, 0, 0]);
        let mut expected = Vec::new();
        for _ in 0..3 {
            let first = next();
            let second = if batches_a_step == 2 { next() } else { first };
            expected.extend([first, second, second]);
        }
        assert_eq!(*seen.borrow(), expected);
    }
}

#[test]
fn the_learning_rate_follows_the_images_seen() {
    // With both betas zero Adam's step is as long as the learning rate, whatever the gradient.
    let optimizer = OptimizerConfig { lr: 0.1, betas: [0.0, 0.0], ..OptimizerConfig::default() };
    let decay = Decay::Step { at: 0.5, factor: 0.5 };
    let role = RoleConfig { optimizer, warmup_kimg: 0.008, decay, ..RoleConfig::default() };
    let toy = Toy::new();
    let (number, path) = (toy.number(FIRST), Rc::new(RefCell::new(vec![1.0])));
    let seen = Rc::clone(&path);
    let mut trainer = Trainer::new(toy, with_roles(plain_config(8), &role), Device::Cpu)
        .unwrap()
        .observe(on_step(move |_| seen.borrow_mut().push(number.double_value(&[]))));
    trainer.run(&mut pictures()).unwrap();
    let expected = [0.0, 0.05, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05];
    for (step, pair) in path.borrow().windows(2).enumerate() {
        let length = pair[0] - pair[1];
        assert!((length - expected[step]).abs() < 1e-6, "step {step}: {length}");
    }
}

#[test]
fn observers_see_the_average_and_the_run_keeps_its_weights() {
    let ema = Some(EmaConfig::Constant { decay: 0.75 });
    let role = RoleConfig { ema, ..RoleConfig::default() };
    let toy = Toy::new();
    let (number, mut average) = (toy.number(FIRST), 1.0);
    let weight = number.shallow_clone();
    let mut trainer = Trainer::new(toy, with_roles(plain_config(3), &role), Device::Cpu)
        .unwrap()
        .observe(on_step(move |_| average = 0.75 * average + 0.25 * weight.double_value(&[])))
        .observe(on_tick(move |tick, student| {
            let z = Tensor::zeros([1, 1, 1, 1], (Kind::Float, Device::Cpu));
            let painted = student.generate(&z, &Cond::none(), &mut Noise::new(0));
            // After k steps of 1e-3 the average of 1, 0.999, … is a fixed number.
            let expected = [0.99975, 0.9993125, 0.998734375][tick.progress.step as usize - 1];
            let found = painted.double_value(&[0, 0, 0, 0]);
            assert!((found - expected).abs() < 1e-6, "step {}: {found}", tick.progress.step);
            Ok(Flow::Continue)
        }));
    trainer.run(&mut pictures()).unwrap();
    assert!((number.double_value(&[]) - 0.997).abs() < 1e-6);
}

#[test]
fn a_turn_of_nobody_is_an_error() {
    let toy = Toy { turns: vec![Turn::new("ghost", &[Role("nobody")])], ..Toy::new() };
    let mut trainer = Trainer::new(toy, plain_config(1), Device::Cpu).unwrap();
    let error = trainer.run(&mut pictures()).unwrap_err();
    let Error::At { source, .. } = error else { panic!("{error}") };
    assert!(matches!(*source, Error::UnknownRole { turn: "ghost", role: "nobody" }), "{source}");
}

#[test]
fn a_reset_of_nobody_is_an_error() {
    let toy = Toy { wishes: |_| vec![Directive::Reset(Role("nobody"))], ..Toy::new() };
    let mut trainer = Trainer::new(toy, plain_config(1), Device::Cpu).unwrap();
    let message = trainer.run(&mut pictures()).unwrap_err().to_string();
    assert!(message.contains("`nobody`") && message.contains("\"first\", \"second\""), "{message}");
}

#[test]
fn reports_tell_norms_and_rates_of_every_role() {
    let entry = method("sid").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut config = crate::tiny::config(entry, 4);
    let warmup_kimg = (2 * BATCH) as f64 / 1000.0;
    for settings in config.roles.values_mut() {
        (settings.warmup_kimg, settings.decay) = (warmup_kimg, Decay::Constant);
        settings.optimizer.lr = 1e-3;
    }
    let recorder = Recorder::default();
    let trainer = trainer(build(entry), config, folder.path());
    trainer.observe(recorder.clone()).run(&mut pictures()).unwrap();
    let roles: Vec<_> = entry.players.iter().map(|role| role.to_string()).collect();
    for (tick, rate) in recorder.ticks().iter().zip([0.0, 0.5e-3, 1e-3, 1e-3]) {
        for role in &roles {
            // The rate that the latest step was made with: half of the warm-up is one step.
            assert!((tick.learning_rate[role] - rate).abs() < 1e-12, "{tick:?}");
            assert!(tick.grad_norm[role] > 0.0, "{tick:?}");
        }
        assert_eq!((tick.grad_norm.len(), tick.learning_rate.len()), (roles.len(), roles.len()));
        assert!((tick.images_per_s * tick.s_per_kimg - 1000.0).abs() < 1e-6);
        assert!(tick.terms.keys().all(|name| !name.contains("grad_norm")));
    }
    assert_eq!(recorder.ticks().len(), 4);
}
