//! A whole run: what is measured, in which order.

use crate::check::{self, weights};
use crate::duel::{Duel, Effort, fight};
use crate::protocol::{Job, Kind, Precision, Request, Versions};
use crate::report::{Checked, Line, Machine, Report};
use crate::rows::{Net, ROWS, Row};
use crate::side::Launcher;
use crate::{Arguments, flops, machine, training};
use anyhow::{Context, Result, bail, ensure};
use fewstep::diffusion_core::Backbone;
use fewstep::libtorch_ext::process;
use fewstep::tch::Device;
use fewstep::unet::SongUnet;
use std::thread::available_parallelism;

/// A whole run.
pub(crate) struct Comparison {
    launcher: Launcher,
    rows: Vec<Row>,
    precisions: Vec<Precision>,
    threads: usize,
    effort: Effort,
    compiled: bool,
    folder: tempfile::TempDir,
    failures: Vec<String>,
}

impl Comparison {
    /// What the arguments ask for.
    ///
    /// # Errors
    /// If they make no sense.
    pub(crate) fn new(arguments: &Arguments, launcher: Launcher) -> Result<Self> {
        let rows: Vec<Row> =
            ROWS.into_iter().filter(|row| row.name().contains(&arguments.rows)).collect();
        let names: Vec<String> = ROWS.iter().map(Row::name).collect();
        ensure!(
            !rows.is_empty(),
            "no row's name contains `{}`; there are {}",
            arguments.rows,
            names.join(", ")
        );
        let precisions = match arguments.precision.as_str() {
            "both" => vec![Precision::F32, Precision::Bf16],
            "f32" => vec![Precision::F32],
            "bf16" => vec![Precision::Bf16],
            other => bail!("`--precision {other}`: it must be f32, bf16 or both"),
        };
        let quick = arguments.quick;
        let rounds = if quick { 2 } else { arguments.rounds.max(1) };
        let burst_s = if quick { 0.0 } else { 0.5 };
        let threads =
            arguments.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from));
        ensure!(threads > 0, "`--threads 0`: at least one is needed");
        Ok(Self {
            launcher,
            rows,
            precisions,
            threads,
            effort: Effort { rounds, burst_s },
            compiled: !quick,
            folder: tempfile::tempdir().context("cannot make a folder for weights")?,
            failures: Vec::new(),
        })
    }

    /// Measures everything.
    ///
    /// # Errors
    /// If a side does not start, fails before anything is timed, or computes something else than the other.
    pub(crate) fn report(mut self) -> Result<Report> {
        let versions: Versions = self
            .launcher
            .twin(self.threads)?
            .ask(&Request::Hello { threads: self.threads })
            .with_context(|| {
                format!("{} has no PyTorch that starts", self.launcher.python.display())
            })?;
        let checks = self.checks()?;
        let limits = self.launcher.ours(self.threads)?.ask(&Request::Limits)?;
        let mut lines = Vec::new();
        for row in self.rows.clone() {
            for precision in self.precisions.clone() {
                if row.has_precision() || precision == self.precisions[0] {
                    lines.extend(self.line(&row, precision)?);
                }
            }
        }
        let machine = Machine {
            date: machine::date(),
            cpu: machine::cpu(),
            threads: self.threads,
            commit: machine::commit(),
            rounds: self.effort.rounds,
            versions,
        };
        Ok(Report { machine, limits, checks, lines, failures: self.failures })
    }

    /// Writes the weights of the networks that rows need, and sees that both sides compute the same with them.
    fn checks(&self) -> Result<Vec<Checked>> {
        process::set_threads(self.threads);
        let needed = |net: &Net| self.rows.iter().any(|row| row.net == *net);
        let mut checks = Vec::new();
        for net in Net::ALL.into_iter().filter(needed) {
            let difference = check::check(net, self.folder.path(), &self.launcher, self.threads)?;
            let parameters = SongUnet::zeroed(&net.config(), Device::Cpu)?.parameters().count();
            println!("{}: both sides agree to {difference:.1e}", net.name());
            checks.push(Checked { network: net.name(), parameters, difference });
        }
        Ok(checks)
    }

    /// Everything about a row in one precision; nothing if no configuration of PyTorch could be measured.
    fn line(&mut self, row: &Row, precision: Precision) -> Result<Option<Line>> {
        let threads = row.threads(self.threads);
        let all = row.configurations(self.compiled);
        let job = Job {
            kind: row.kind,
            network: row.net.config(),
            weights: weights(row.net, self.folder.path()),
            batch: row.batch,
            precision,
            configuration: all[0],
        };
        let mut duels = Vec::new();
        for configuration in all {
            let name = configuration.name(row.kind);
            let theirs = Job { configuration, ..job.clone() };
            match fight(&self.launcher, threads, (&job, &theirs), self.effort) {
                Ok(duel) => {
                    show(row, precision, &duel);
                    duels.push(duel);
                }
                Err(error) => {
                    let failure = format!("{}, {precision}, {name}: {error:#}", row.name());
                    println!("{failure}");
                    self.failures.push(failure);
                }
            }
        }
        let Some(last) = duels.last() else { return Ok(None) };
        Ok(Some(Line {
            row: row.name(),
            precision,
            threads,
            our_memory: last.our_memory,
            unconfigured: self.unconfigured(row, &job, &duels)?,
            flops: self.flops(row)?,
            duels,
        }))
    }

    /// Ours in the precision of a run without settings, against PyTorch's default in f32.
    fn unconfigured(&self, row: &Row, job: &Job, duels: &[Duel]) -> Result<Option<Duel>> {
        if job.precision != Precision::F32 {
            return Ok(None);
        }
        let precision = training::unconfigured_precision();
        if precision == Precision::F32 || !row.has_precision() {
            return Ok(duels.first().cloned());
        }
        let threads = row.threads(self.threads);
        let ours = Job { precision, ..job.clone() };
        fight(&self.launcher, threads, (&ours, job), self.effort).map(Some)
    }

    fn flops(&self, row: &Row) -> Result<Option<f64>> {
        if !matches!(row.kind, Kind::Forward | Kind::Generate) {
            return Ok(None);
        }
        let network = SongUnet::zeroed(&row.net.config(), Device::Cpu)?;
        Ok(Some(row.batch as f64 * flops::per_image(network.parameters())))
    }
}

fn show(row: &Row, precision: Precision, duel: &Duel) {
    let [ours, theirs] = [&duel.ours, &duel.theirs].map(|samples| samples.median * 1e3);
    let (name, configuration, ratio) = (row.name(), &duel.configuration, duel.ratio());
    println!(
        "{name:<20} {precision:<4} {ours:>9.2} ms  {theirs:>9.2} ms  {ratio:>5.2}  {configuration}"
    );
}
