//! Every method of the table keeps the trainer's laws.

use diffusion_core::{Batch, BatchSource, Noise};
use diffusion_schedule::{Edm, Network, Preconditioned, Preconditioning};
use distill_losses::{Distiller, Ingredients, METHODS, MethodInfo};
use distill_trainer::{DistillMethod, Precision, Progress, TrainConfig, Trainer, conformance};
use tch::{Device, Tensor};
use testkit::{GaussianData, MlpBackbone, MlpConfig};

fn network(seed: u64) -> Network {
    let config = MlpConfig { dropout: 0.1, ..MlpConfig::default() };
    let backbone = MlpBackbone::new(config, &mut Noise::new(seed));
    Preconditioned::new(Box::new(backbone), Preconditioning::Edm(Edm::default()))
}

fn build(entry: &MethodInfo, teacher: &Network) -> Box<dyn Distiller> {
    let ingredients = Ingredients::distill(teacher);
    (entry.build)(&ingredients, &toml::Table::new()).unwrap()
}

fn batch(n: usize) -> Batch {
    GaussianData::new(&[0.3, -0.2], 0.5, 1).next_batch(n).unwrap()
}

fn values(network: &Network) -> Vec<Tensor> {
    network.parameters().iter().map(|parameter| parameter.tensor.detach().copy()).collect()
}

#[test]
fn every_method_conforms() {
    for entry in METHODS {
        let teacher = network(5);
        conformance::check(&|| build(entry, &teacher), &batch(8));
        let players: Vec<_> = build(entry, &teacher).players().iter().map(|p| p.role).collect();
        assert_eq!(players, entry.players, "`{}`: the table names other players", entry.name);
        let method = build(entry, &teacher);
        assert_eq!(method.name(), entry.name, "a method calls itself otherwise than the table");
        assert_eq!(method.options(), (entry.options)(), "`{}` reports other options", entry.name);
    }
}

#[test]
fn a_turn_moves_exactly_its_players() {
    for entry in METHODS {
        let teacher = network(5);
        let before = values(&teacher);
        let method = build(entry, &teacher);
        let turns = method.turns(Progress::default());
        assert!(!turns.is_empty());
        let start: Vec<_> = weights(&*method);
        let config = TrainConfig {
            batch: 8,
            kimg: 0.016,
            precision: Precision::F32,
            ..TrainConfig::default()
        };
        let mut trainer = Trainer::new(method, config, Device::Cpu).unwrap();
        trainer.run(&mut GaussianData::new(&[0.3, -0.2], 0.5, 1)).unwrap();
        let moved = weights(&**trainer.method());
        assert!(start.iter().zip(&moved).all(|(a, b)| a != b), "`{}`: a player rests", entry.name);
        assert_eq!(before, values(&teacher), "`{}` moved the teacher", entry.name);
    }
}

fn weights(method: &dyn Distiller) -> Vec<Vec<Tensor>> {
    let copy = |player: distill_trainer::Player<'_>| {
        player.parameters.trained().map(|p| p.tensor.detach().copy()).collect()
    };
    method.players().into_iter().map(copy).collect()
}

#[test]
fn unknown_options_are_refused_with_the_method_and_the_key() {
    let teacher = network(5);
    for entry in METHODS {
        let table = toml::Table::from_iter([("alhpa".to_owned(), toml::Value::Float(1.0))]);
        let error = (entry.build)(&Ingredients::distill(&teacher), &table).err().unwrap();
        let message = error.to_string();
        assert!(message.contains(entry.name) && message.contains("alhpa"), "{message}");
    }
}

#[test]
fn a_missing_teacher_is_an_error() {
    let fresh = network(5);
    for entry in METHODS {
        let built = (entry.build)(&Ingredients::train(&fresh), &toml::Table::new());
        assert_eq!(built.is_err(), entry.needs_teacher, "{}", entry.name);
    }
}

#[test]
fn impossible_options_are_named() {
    let teacher = network(5);
    let sid = distill_losses::method("sid").unwrap();
    let table: toml::Table = "t_max = 2000.0".parse().unwrap();
    let error = (sid.build)(&Ingredients::distill(&teacher), &table).err().unwrap();
    assert_eq!(error.to_string(), "option `t_max` of method `sid` = 2000: must be in (0, 1000]");
}
