//! Collectives between real processes: each test starts this binary again as the processes of a world.
#![cfg(c10d)]

use libtorch_ext::Error;
use libtorch_ext::distributed::World;
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tch::{Device, Kind, Tensor};

const SCENE: &str = "FEWSTEP_TEST_SCENE";

/// Starts `size` processes that play `scene`.
fn start(scene: &str, size: usize, timeout_s: f64) -> Vec<Child> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = |rank: usize| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process", "--nocapture"])
            .envs([(SCENE, scene), ("MASTER_ADDR", "127.0.0.1")])
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("WORLD_SIZE", size.to_string())
            .env("MASTER_PORT", port.to_string())
            .env("FEWSTEP_TIMEOUT_S", timeout_s.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    (0..size).map(process).collect()
}

fn ends(processes: Vec<Child>) -> Vec<Output> {
    processes.into_iter().map(|process| process.wait_with_output().unwrap()).collect()
}

fn all_succeed(scene: &str, size: usize) {
    for (rank, output) in ends(start(scene, size, 30.0)).into_iter().enumerate() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "process {rank} of `{scene}`: {said}");
    }
}

/// What a process of a world does; nothing when the tests themselves are run.
#[test]
fn process() {
    let Ok(scene) = std::env::var(SCENE) else { return };
    tch::set_num_threads(1);
    let world = World::from_env().unwrap();
    match scene.as_str() {
        "sums" => sums(&world),
        "copies" => copies(&world),
        "death" => death(&world),
        "silence" => silence(&world),
        other => panic!("there is no scene `{other}`"),
    }
}

fn numbers(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

fn sums(world: &World) {
    let rank = world.rank() as f32;
    for kind in [Kind::Float, Kind::Double, Kind::BFloat16] {
        let value = numbers(&[rank + 1.0, 10.0 * rank]).to_kind(kind);
        world.all_reduce_sum(&value).unwrap();
        assert_eq!(value, numbers(&[6.0, 30.0]).to_kind(kind));
    }
    let mean = numbers(&[rank, 4.0]).set_requires_grad(true);
    world.all_reduce_mean(&mean).unwrap();
    assert_eq!(mean.detach(), numbers(&[1.0, 4.0]));
    let nan = numbers(&[if world.rank() == 2 { f32::NAN } else { 1.0 }]);
    world.all_reduce_sum(&nan).unwrap();
    assert!(nan.double_value(&[0]).is_nan());
    // A view of every second number: the gaps between stay as they are.
    let whole = Tensor::zeros([6], (Kind::Float, Device::Cpu));
    let mut every_second = whole.slice(0, 0, 6, 2);
    let _ = every_second.fill_(1.0);
    world.all_reduce_sum(&every_second).unwrap();
    assert_eq!(whole, numbers(&[3.0, 0.0, 3.0, 0.0, 3.0, 0.0]));
    world.all_reduce_sum(&Tensor::zeros([0], (Kind::Float, Device::Cpu))).unwrap();
}

fn copies(world: &World) {
    let value = Tensor::from_slice(&[world.rank() as i64 + 7, 1]);
    let gathered = world.all_gather(&value).unwrap();
    let expected: Vec<_> = (0..3).map(|rank| Tensor::from_slice(&[rank + 7, 1i64])).collect();
    assert_eq!(gathered, expected);
    world.broadcast(&value).unwrap();
    assert_eq!(value, Tensor::from_slice(&[7i64, 1]));
    world.barrier().unwrap();
}

/// Process 1 dies as if it had crashed; the other one must say so.
fn death(world: &World) {
    world.barrier().unwrap();
    if world.rank() == 1 {
        std::process::abort();
    }
    expect_collective_error(world, 20.0);
}

/// Process 1 lives on without a word; the other one must not wait for ever.
fn silence(world: &World) {
    world.barrier().unwrap();
    if world.rank() == 1 {
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    expect_collective_error(world, 1.5);
}

fn expect_collective_error(world: &World, timeout_s: f64) {
    let error = world.all_reduce_sum(&numbers(&[1.0])).unwrap_err();
    assert!(matches!(error, Error::Collective { rank: 0, size: 2, .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("rank 0 of 2: all_reduce failed: "), "{text}");
    assert!(text.contains(&format!("time-out of {timeout_s} s")), "{text}");
}

#[test]
fn every_process_gets_the_sum() {
    all_succeed("sums", 3);
}

#[test]
fn tensors_are_copied_between_processes() {
    all_succeed("copies", 3);
}

#[test]
fn a_dead_process_is_an_error_of_the_others_at_once() {
    let mut processes = start("death", 2, 20.0);
    let survivor = processes.remove(0).wait_with_output().unwrap();
    assert!(survivor.status.success(), "{}", String::from_utf8_lossy(&survivor.stderr));
    assert!(!processes[0].wait().unwrap().success());
}

#[test]
fn a_silent_process_is_an_error_of_the_others_after_the_timeout() {
    let mut processes = start("silence", 2, 1.5);
    let waiting = processes.remove(0).wait_with_output().unwrap();
    assert!(waiting.status.success(), "{}", String::from_utf8_lossy(&waiting.stderr));
    assert!(processes[0].try_wait().unwrap().is_none(), "it waited for the silent one's end");
    processes[0].kill().unwrap();
    processes[0].wait().unwrap();
}

#[test]
fn a_process_that_never_comes_is_an_error_that_names_the_meeting_point() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let environment = libtorch_ext::distributed::Environment {
        rank: 0,
        size: 2,
        local_rank: 0,
        host: "127.0.0.1".into(),
        port,
        agent_store: false,
        restarts: 0,
        timeout: Duration::from_millis(500),
    };
    let error = World::connect(&environment).unwrap_err();
    assert!(matches!(error, Error::Rendezvous { rank: 0, size: 2, .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port} within 0.5 s")), "{error}");
}
