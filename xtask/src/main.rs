//! Developer commands: `cargo xtask help` lists them.
//!
//! Depends on the standard library and a crate for signals, so that it builds in seconds on a machine that has nothing yet.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench_fid;
mod bench_vs_pytorch;
mod cache;
mod ci;
mod doctor;
mod error;
mod external_consumer;
mod launch;
mod libtorch;
mod methods_table;
mod program;
mod pytorch;
mod quickstart;
mod setup;
mod test;
mod wheels;
mod workspace;

use error::{Error, Result};
use std::process::ExitCode;

const HELP: &str = "\
fewstep's developer commands. New here? Run `cargo xtask quickstart`; it does all the set-up it needs.

  cargo xtask setup [--cuda]           get libtorch 2.11.0, once per user, and link it as .libtorch
                                       --cuda: the full one with NVIDIA's libraries (about 4 GB) instead of the small one
  cargo xtask quickstart [--cuda] [ARGS]
                                       set up, then run examples/01_quickstart.rs with ARGS: train, distill, show both
  cargo xtask test [--cuda]            set up, then run all tests, documentation examples and the external consumer
  cargo xtask launch --nproc N [--timeout S] -- PROGRAM ARGS
                                       run PROGRAM in N processes that train together, as torchrun would on one machine
  cargo xtask doctor                   show versions, devices and a timed matmul on each, and what is missing
  cargo xtask ci                       the checks beside the tests: format, lints, documentation, licenses, spelling
  cargo xtask external-consumer        build and run a program outside the workspace that depends on fewstep
  cargo xtask bench-vs-pytorch [OPTIONS]
                                       time training steps and sampling beside PyTorch, which it gets into the cache
                                       (0.6 GB); --quick shows that all works, --help lists the options
  cargo xtask bench-fid [OPTIONS]      time the FID of two folders beside pytorch-fid and torch-fidelity, which it gets, too
  cargo xtask methods-table            bring the README's table of methods up to date
  cargo xtask help                     this page

Needed: cargo, a C++ compiler, python3 with pip. After `setup`, plain `cargo run --release --example …`, `cargo test`
and `cargo bench` work, without environment variables. A libtorch 2.11.0 that you already have is used instead of a
download: set LIBTORCH=/absolute/path/to/it, or LIBTORCH_USE_PYTORCH=1 for the one of the Python in use. What is
downloaded is kept in $XDG_CACHE_HOME/fewstep (~/.cache/fewstep). More: docs/libtorch.md.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            error.exit_code()
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((command, options)) = arguments.split_first() else {
        println!("{HELP}");
        return Ok(());
    };
    match command.as_str() {
        "setup" => setup::run(only_cuda(command, options)?).map(drop),
        "quickstart" => quickstart::run(options),
        "test" => test::run(only_cuda(command, options)?),
        "launch" => launch::run(options),
        "doctor" => without_options(command, options).and_then(|()| doctor::run()),
        "ci" => without_options(command, options).and_then(|()| ci::run()),
        "external-consumer" => {
            without_options(command, options).and_then(|()| external_consumer::run())
        }
        "bench-vs-pytorch" => bench_vs_pytorch::run(options),
        "bench-fid" => bench_fid::run(options),
        "methods-table" => without_options(command, options).and_then(|()| methods_table::run()),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        _ => Err(Error::UnknownCommand(command.clone())),
    }
}

/// Whether the only option that `setup` and `test` know is given.
fn only_cuda(command: &str, options: &[String]) -> Result<bool> {
    match options {
        [] => Ok(false),
        [option] if option == "--cuda" => Ok(true),
        [first, ..] => {
            let wrong = options.iter().find(|option| *option != "--cuda").unwrap_or(first);
            Err(Error::UnknownOption { command: command.into(), option: wrong.clone() })
        }
    }
}

fn without_options(command: &str, options: &[String]) -> Result<()> {
    options.first().map_or(Ok(()), |option| {
        Err(Error::UnknownOption { command: command.into(), option: option.clone() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_only_option_is_understood_and_others_are_refused() {
        assert!(!only_cuda("setup", &[]).unwrap());
        assert!(only_cuda("setup", &strings(&["--cuda"])).unwrap());
        let error = only_cuda("setup", &strings(&["--cuda", "--rocm"])).unwrap_err();
        assert!(matches!(error, Error::UnknownOption { option, .. } if option == "--rocm"));
        assert!(without_options("ci", &strings(&["--fast"])).is_err());
    }

    #[test]
    fn an_unknown_command_points_to_the_help() {
        let error = dispatch(&strings(&["instal"])).unwrap_err();
        assert!(error.to_string().contains("cargo xtask help"));
    }
}
