//! Whole runs through the facade: what a user does, and what can go wrong on the way.

mod bad_input;
mod data_parallel;
mod end_to_end;
mod faulty;
#[cfg(target_os = "linux")]
mod full_disk;
mod reproducible;
mod resume;
mod saved;
mod tiny;
mod toy;
mod trainer_laws;
mod watch;
