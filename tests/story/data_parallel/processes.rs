//! Starting this binary again.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The test that is a process of a run.
pub(super) const NAME: &str = "data_parallel::process";
pub(super) const SCENE: &str = "FEWSTEP_TEST_SCENE";
pub(super) const FOLDER: &str = "FEWSTEP_TEST_FOLDER";

/// Two processes that play `scene` on `folder`.
pub(super) fn start(scene: &str, folder: &Path) -> Vec<Child> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let process = |rank: usize| {
        lasting(Command::new(std::env::current_exe().unwrap()), scene, folder)
            .args(["--exact", NAME, "--nocapture"])
            .envs([("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("FEWSTEP_TIMEOUT_S", "20")])
            .env("RANK", rank.to_string())
            .env("LOCAL_RANK", rank.to_string())
            .env("MASTER_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    (0..2).map(process).collect()
}

/// The same command as part of a play.
pub(super) fn lasting(mut command: Command, scene: &str, folder: &Path) -> Command {
    command.env(SCENE, scene).env(FOLDER, folder);
    command
}

/// How the processes ended and what they said on standard error.
pub(super) fn played(processes: Vec<Child>) -> Vec<(ExitStatus, String)> {
    let outputs = processes.into_iter().map(|process| process.wait_with_output().unwrap());
    outputs.map(|o| (o.status, String::from_utf8_lossy(&o.stderr).into_owned())).collect()
}

pub(super) fn succeed(processes: Vec<Child>) {
    for (rank, (status, said)) in played(processes).into_iter().enumerate() {
        assert!(status.success(), "process {rank}: {said}");
    }
}
