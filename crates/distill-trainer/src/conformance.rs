//! The laws that every method keeps, checked through the trait alone.

use crate::{DistillMethod, Progress, Role, Turn};
use diffusion_core::{Batch, Noise, NoiseTape};
use std::collections::BTreeSet;
use tch::{Kind, Tensor};

/// Checks a method against every law; `build` must make equal methods each time.
///
/// 1. Every player is trained by some turn, and every turn names known players.
/// 2. `turns` is a pure function of the progress.
/// 3. Each objective is finite, has a graph, and its terms have none.
/// 4. Equal noise gives an equal loss, and computing a loss changes no weight.
/// 5. The gradient of a turn reaches exactly its players.
/// 6. The state round-trips into a fresh method.
/// 7. The student generates finite images of the right shape.
/// 8. A turn with a recording key draws no number on the host, and computes the same on draws that were filled in later.
///
/// # Panics
/// With the law that is broken, the turn and the player.
pub fn check<M: DistillMethod>(build: &dyn Fn() -> M, batch: &Batch) {
    let method = build();
    turns_cover_the_players(&method);
    for turn in method.turns(Progress::default()) {
        objective_is_sound(&method, &turn, batch);
        loss_repeats(&method, &turn, batch);
        gradient_reaches_only(&method, &turn, batch);
        recording_repeats(&method, &turn, batch);
    }
    state_round_trips(method, build(), batch);
    student_generates(&build(), batch);
}

fn turns_cover_the_players<M: DistillMethod>(method: &M) {
    let players: BTreeSet<Role> = method.players().iter().map(|player| player.role).collect();
    assert_eq!(players.len(), method.players().len(), "two players share a role: {players:?}");
    let mut trained = BTreeSet::new();
    for step in 0..64 {
        let progress = Progress { step, images: step * 16 };
        let turns = method.turns(progress);
        assert_eq!(turns, method.turns(progress), "turns({step}) differs between two calls");
        trained.extend(turns.iter().flat_map(|turn| turn.trains.iter().copied()));
    }
    assert_eq!(trained, players, "the turns train other roles than the players'");
}

fn freeze_for<M: DistillMethod>(method: &M, turn: &Turn) {
    for player in method.players() {
        for parameter in player.parameters.trained() {
            let mut tensor = parameter.tensor.shallow_clone();
            tensor.zero_grad();
        }
        player.parameters.set_requires_grad(turn.trains.contains(&player.role));
    }
}

fn loss<M: DistillMethod>(method: &M, turn: &Turn, batch: &Batch) -> crate::Objective {
    freeze_for(method, turn);
    method.objective(turn, batch, Progress::default(), &mut Noise::new(11))
}

fn objective_is_sound<M: DistillMethod>(method: &M, turn: &Turn, batch: &Batch) {
    let objective = loss(method, turn, batch);
    let value = objective.loss.double_value(&[]);
    assert!(value.is_finite(), "turn `{}`: the loss is {value}", turn.name);
    assert!(objective.loss.requires_grad(), "turn `{}`: the loss has no graph", turn.name);
    for (name, term) in &objective.terms {
        assert!(!term.requires_grad(), "turn `{}`: the term `{name}` has a graph", turn.name);
        assert!(term.double_value(&[]).is_finite(), "turn `{}`: `{name}` is not finite", turn.name);
    }
}

fn loss_repeats<M: DistillMethod>(method: &M, turn: &Turn, batch: &Batch) {
    let before = snapshot(method);
    let (first, second) = (loss(method, turn, batch).loss, loss(method, turn, batch).loss);
    assert_eq!(first, second, "turn `{}`: equal noise gave two losses", turn.name);
    assert_eq!(before, snapshot(method), "turn `{}`: computing the loss moved a weight", turn.name);
}

fn gradient_reaches_only<M: DistillMethod>(method: &M, turn: &Turn, batch: &Batch) {
    loss(method, turn, batch).loss.backward();
    for player in method.players() {
        let has_grad = |tensor: &Tensor| {
            let grad = tensor.grad();
            grad.defined() && grad.abs().sum(Kind::Float).double_value(&[]) > 0.0
        };
        let reached = player.parameters.trained().any(|parameter| has_grad(&parameter.tensor));
        let trains = turn.trains.contains(&player.role);
        assert_eq!(reached, trains, "turn `{}`: gradient at player `{}`", turn.name, player.role);
    }
}

fn recording_repeats<M: DistillMethod>(method: &M, turn: &Turn, batch: &Batch) {
    let progress = Progress::default();
    if method.recording_key(turn, progress).is_none() {
        return;
    }
    let loss = |noise: &mut Noise| method.objective(turn, batch, progress, noise).loss;
    let tape = NoiseTape::new();
    let _ = loss(&mut Noise::new(1).taped(&tape));
    assert!(tape.is_complete(), "turn `{}`: recorded, and draws on the host", turn.name);
    let (mut filled, mut other) = (Noise::new(2), Noise::new(2));
    tape.refill(&mut filled);
    tape.rewind();
    let played = loss(&mut Noise::new(2).taped(&tape));
    assert_eq!(played, loss(&mut other), "turn `{}`: other losses when recorded", turn.name);
    assert_eq!(filled.state(), other.state(), "turn `{}`: other draws when recorded", turn.name);
}

fn state_round_trips<M: DistillMethod>(mut method: M, mut fresh: M, batch: &Batch) {
    let progress = Progress { step: 1, images: batch.len() as u64 };
    for turn in method.turns(Progress::default()) {
        method.after_turn(&turn, Progress::default());
    }
    let _ = method.after_step(progress);
    let state = method.state();
    fresh.load_state(&state).expect("a method loads its own state");
    let again = fresh.state();
    assert_eq!(state.values, again.values, "values of the state change on the way");
    assert_eq!(state.tensors, again.tensors, "tensors of the state change on the way");
}

fn student_generates<M: DistillMethod>(method: &M, batch: &Batch) {
    let z = Noise::new(3).normal(&batch.images.size());
    let student = method.student();
    let images = student.generate(&z, &batch.cond, &mut Noise::new(4));
    assert_eq!(images.size(), z.size(), "the student's images have another shape than its noise");
    assert!(!images.requires_grad(), "generating records a graph");
    assert_eq!(images.isfinite().all().int64_value(&[]), 1, "the student's images are not finite");
    assert!(student.nfe() > 0, "a student evaluates its network at least once");
}

fn snapshot<M: DistillMethod>(method: &M) -> Vec<Tensor> {
    method
        .players()
        .iter()
        .flat_map(|player| {
            player.parameters.iter().map(|parameter| parameter.tensor.detach().copy())
        })
        .collect()
}
