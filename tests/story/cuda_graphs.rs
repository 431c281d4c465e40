//! Recorded turns. That they compute what eager ones do can be seen on a GPU only.

use crate::tiny::{config, model, pictures};
use crate::watch::Notices;
use fewstep::libtorch_ext::cuda;
use fewstep::prelude::*;

/// Ten steps of a method on a device; the weights of all players, and what was noticed.
fn run(name: &str, device: Device, cuda_graphs: bool) -> (Vec<Tensor>, Vec<String>) {
    let entry = method(name).unwrap();
    let teacher = model().build(&mut Noise::new(1).on(device), device).unwrap();
    let distiller = (entry.build)(&Ingredients::distill(&teacher), &(entry.options)()).unwrap();
    let told = Notices::default();
    let config = TrainConfig { cuda_graphs, ..config(entry, 10) };
    let mut trainer = Trainer::new(distiller, config, device).unwrap().observe(told.clone());
    trainer.run(&mut pictures()).unwrap();
    let players = trainer.method().players();
    let weights = players.iter().flat_map(|player| player.parameters.trained());
    let weights = weights.map(|parameter| parameter.tensor.detach().copy()).collect();
    (weights, told.all())
}

#[test]
fn recorded_turns_compute_what_eager_ones_do() {
    let device = Device::Cuda(0);
    if !cuda::is_available() {
        eprintln!("not checked: no CUDA device");
        return;
    }
    for name in ["teacher", "sid"] {
        let (eager, _) = run(name, device, false);
        let (recorded, told) = run(name, device, true);
        assert!(told.is_empty(), "{told:?}");
        for (eager, recorded) in eager.iter().zip(&recorded) {
            assert!(recorded.allclose(eager, 1e-5, 1e-7, false), "{name}");
        }
    }
    let (_, told) = run("cd", device, true);
    assert!(told.is_empty(), "a method that never asks for it is not refused: {told:?}");
}

#[test]
fn without_a_gpu_turns_are_computed_as_ever() {
    let [(eager, _), (asked, told)] = [false, true].map(|on| run("sid", Device::Cpu, on));
    assert_eq!(eager, asked);
    assert!(told.is_empty(), "{told:?}");
}
