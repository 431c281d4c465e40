//! `launch`, with shells as the processes.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

fn launch(options: &[&str], script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("launch").args(options).args(["--", "sh", "-c", script]);
    command.env_remove("OMP_NUM_THREADS");
    command
}

fn outcome(options: &[&str], script: &str) -> (Option<i32>, Vec<String>, String) {
    let Output { status, stdout, stderr } = launch(options, script).output().unwrap();
    let mut lines: Vec<String> =
        String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    (status.code(), lines, String::from_utf8(stderr).unwrap())
}

#[test]
fn every_process_learns_its_place_and_its_lines_carry_its_number() {
    let script = "echo $RANK of $WORLD_SIZE, $LOCAL_RANK at $MASTER_ADDR, $FEWSTEP_TIMEOUT_S s\n\
                  test $MASTER_PORT -gt 0 && test $OMP_NUM_THREADS -ge 1 && echo more";
    let (code, lines, _) = outcome(&["--nproc", "2", "--timeout", "7"], script);
    assert_eq!(code, Some(0));
    let expected = [
        "[0] 0 of 2, 0 at 127.0.0.1, 7 s",
        "[0] more",
        "[1] 1 of 2, 1 at 127.0.0.1, 7 s",
        "[1] more",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_failure_ends_the_others_and_is_reported_with_its_code() {
    let script = "if test $RANK = 1; then echo gone >&2; exit 7; fi; echo waiting; sleep 600";
    let (code, lines, errors) = outcome(&["--nproc", "2"], script);
    assert_eq!((code, lines), (Some(7), vec!["[0] waiting".to_owned()]));
    assert!(errors.contains("[1] gone"), "{errors}");
    assert!(errors.contains("process 1 ended first, with exit status: 7"), "{errors}");
}

#[test]
fn a_killed_process_is_reported_by_its_signal() {
    let (code, _, errors) = outcome(&["--nproc", "2"], "test $RANK = 1 || kill -s KILL $$");
    assert_eq!(code, Some(128 + 9));
    assert!(errors.contains("process 0 ended first, with signal: 9"), "{errors}");
}

#[test]
fn signals_are_passed_on_and_the_processes_may_finish() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let script = format!(
            "trap 'echo finishing; exit {code}' {signal}; echo ready; while :; do sleep 0.05; done"
        );
        let mut launched =
            launch(&["--nproc", "2"], &script).stdout(Stdio::piped()).spawn().unwrap();
        let id = launched.id().to_string();
        let mut lines = BufReader::new(launched.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!((&mut lines).take(2).all(|line| line.ends_with("ready")));
        assert!(
            Command::new("sh")
                .args(["-c", &format!("kill -s {signal} {id}")])
                .status()
                .unwrap()
                .success()
        );
        let mut rest: Vec<String> = lines.collect();
        rest.sort();
        assert_eq!(rest, ["[0] finishing", "[1] finishing"]);
        assert_eq!(launched.wait().unwrap().code(), Some(code));
    }
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let absent = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["launch", "--nproc", "2", "--", "./no-such-program"])
        .output()
        .unwrap();
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("start ./no-such-program"));
}
