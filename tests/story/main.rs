//! Whole runs through the facade: what a user does, and what can go wrong on the way.

#![allow(clippy::print_stdout, clippy::print_stderr)] // children talk to their test, tests say what they measured

mod bad_input;
mod child;
mod cuda_graphs;
mod data_parallel;
mod end_to_end;
mod evaluated;
mod faulty;
#[cfg(target_os = "linux")]
mod full_disk;
mod kept;
#[cfg(unix)]
mod killed;
mod measured;
mod planned;
mod report;
mod reproducible;
mod resume;
mod saved;
#[cfg(unix)]
mod signals;
mod tiny;
mod toy;
mod trainer_laws;
mod watch;
