//! The comparison as Markdown and JSON.

use crate::duel::Duel;
use crate::limits::Limits;
use crate::protocol::{Memory, Precision, Versions};
use serde::Serialize;
use std::fmt::Write;

/// Everything that was measured, and where.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) limits: Limits,
    pub(crate) checks: Vec<Checked>,
    pub(crate) lines: Vec<Line>,
    /// What was not measured, and why.
    pub(crate) failures: Vec<String>,
}

/// Where and with what was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) cpu: String,
    pub(crate) threads: usize,
    pub(crate) commit: String,
    pub(crate) rounds: u64,
    pub(crate) versions: Versions,
}

/// That both sides compute the same.
#[derive(Debug, Serialize)]
pub(crate) struct Checked {
    pub(crate) network: &'static str,
    pub(crate) parameters: usize,
    pub(crate) difference: f64,
}

/// A row in one precision.
#[derive(Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) row: String,
    pub(crate) precision: Precision,
    pub(crate) threads: usize,
    pub(crate) our_memory: Memory,
    /// Against each way to use PyTorch, the one of most programs first.
    pub(crate) duels: Vec<Duel>,
    /// Ours as it is without any setting against PyTorch's default in f32.
    pub(crate) unconfigured: Option<Duel>,
    /// Floating-point operations of an iteration, where it is one pass of the network.
    pub(crate) flops: Option<f64>,
}

impl Line {
    /// Against the way to use PyTorch that is the fastest: not by its own time, for the machine may have been busier in
    /// one duel than in another, but by its ratio to fewstep, which was measured beside it and is the same in all.
    pub(crate) fn best(&self) -> &Duel {
        let fastest = |a: &&Duel, b: &&Duel| a.ratio().total_cmp(&b.ratio());
        self.duels.iter().min_by(fastest).expect("a line has a duel")
    }

    /// The smallest peak that a way to use PyTorch has.
    fn leanest(&self) -> u64 {
        self.duels.iter().map(|duel| duel.their_memory.peak).min().expect("a line has a duel")
    }
}

impl Report {
    pub(crate) fn markdown(&self) -> String {
        let Machine { date, cpu, threads, commit, rounds, versions } = &self.machine;
        let mut text = format!(
            "# fewstep against PyTorch\n\n{date}, commit {commit}, {cpu}, {threads} threads unless said, PyTorch {}, \
             Python {}, {rounds} rounds.\nWritten by `cargo xtask bench-vs-pytorch`; \
             what is compared and how: [benches/pytorch_twin](../../benches/pytorch_twin/README.md).\n",
            versions.torch, versions.python
        );
        self.speed(&mut text);
        self.unconfigured(&mut text);
        self.memory(&mut text);
        self.limits(&mut text);
        self.checks(&mut text);
        if !self.failures.is_empty() {
            text += "\n## Not measured\n\n";
            self.failures.iter().for_each(|failure| line(&mut text, &format!("- {failure}")));
        }
        text
    }

    fn speed(&self, text: &mut String) {
        *text += "\n## Speed\n\nMedian milliseconds of an iteration, the fastest in parentheses. The ratio is that of \
                  the medians of the best configuration of PyTorch and of fewstep beside it; above 1 fewstep is faster.\n\n\
                  | row | precision | fewstep | PyTorch's best | which | ratio | PyTorch's default | ratio |\n\
                  |---|---|---|---|---|---|---|---|\n";
        for entry in &self.lines {
            let (best, default) = (entry.best(), &entry.duels[0]);
            let cells = [
                entry.row.clone(),
                entry.precision.to_string(),
                ms(&best.ours),
                ms(&best.theirs),
                best.configuration.clone(),
                format!("**{:.2}**", best.ratio()),
                ms(&default.theirs),
                format!("{:.2}", default.ratio()),
            ];
            line(text, &format!("| {} |", cells.join(" | ")));
        }
    }

    fn unconfigured(&self, text: &mut String) {
        let duels: Vec<_> = self
            .lines
            .iter()
            .filter_map(|entry| Some((entry, entry.unconfigured.as_ref()?)))
            .collect();
        if duels.is_empty() {
            return;
        }
        *text += "\n## Without any setting\n\nfewstep with its default precision against PyTorch's default: eager, f32, \
                  `torch.optim.Adam(parameters)`, a loop for the average.\n\n\
                  | row | fewstep | PyTorch | ratio |\n|---|---|---|---|\n";
        for (entry, duel) in duels {
            let (ours, theirs) = (ms(&duel.ours), ms(&duel.theirs));
            line(text, &format!("| {} | {ours} | {theirs} | **{:.2}** |", entry.row, duel.ratio()));
        }
    }

    fn memory(&self, text: &mut String) {
        *text += "\n## Memory\n\nPeak of the resident memory of a process that does only the row, in MB, and in parentheses \
                  what the process took before the row was prepared (libraries). PyTorch's is that of its leanest \
                  configuration.\n\n| row | precision | fewstep | PyTorch | ratio |\n|---|---|---|---|---|\n";
        for entry in &self.lines {
            let ours = entry.our_memory;
            let theirs = Memory { peak: entry.leanest(), base: entry.duels[0].their_memory.base };
            let show =
                |m: Memory| format!("{:.0} ({:.0})", m.peak as f64 / 1e6, m.base as f64 / 1e6);
            let ratio = theirs.peak as f64 / ours.peak as f64;
            let (row, precision) = (&entry.row, entry.precision);
            let (ours, theirs) = (show(ours), show(theirs));
            line(text, &format!("| {row} | {precision} | {ours} | {theirs} | {ratio:.2} |"));
        }
    }

    fn limits(&self, text: &mut String) {
        *text += "\n## The machine's limit\n\n| precision | matrix product 2048³ | convolution 3 × 3, 256 → 256, 32 × 32, \
                  batch 8 |\n|---|---|---|\n";
        for (precision, peak) in [("f32", self.limits.f32), ("bf16", self.limits.bf16)] {
            let [matmul, conv] = [peak.matmul, peak.conv].map(|flops| flops / 1e9);
            line(text, &format!("| {precision} | {matmul:.0} GFLOP/s | {conv:.0} GFLOP/s |"));
        }
        let with_flops = self.lines.iter().filter_map(|entry| Some((entry, entry.flops?)));
        for (index, (entry, flops)) in with_flops.enumerate() {
            if index == 0 {
                *text += "\n| row | precision | GFLOP | fewstep, GFLOP/s | of the product's | PyTorch's best, GFLOP/s | of the \
                          product's |\n|---|---|---|---|---|---|---|\n";
            }
            let peak = match entry.precision {
                Precision::F32 => self.limits.f32,
                Precision::Bf16 => self.limits.bf16,
            };
            let share = |seconds: f64| {
                let reached = flops / seconds;
                format!("{:.0} | {:.0} %", reached / 1e9, 100.0 * reached / peak.matmul)
            };
            let best = entry.best();
            let (ours, theirs) = (share(best.ours.median), share(best.theirs.median));
            let (row, precision, gflop) = (&entry.row, entry.precision, flops / 1e9);
            line(text, &format!("| {row} | {precision} | {gflop:.1} | {ours} | {theirs} |"));
        }
    }

    fn checks(&self, text: &mut String) {
        *text += "\n## Both sides compute the same\n\nThe largest difference of outputs, losses and gradients in f32, on the \
                  same weights and inputs, relative to the largest value.\n\n| network | parameters | difference |\n\
                  |---|---|---|\n";
        for Checked { network, parameters, difference } in &self.checks {
            line(text, &format!("| {network} | {parameters} | {difference:.1e} |"));
        }
    }
}

fn line(text: &mut String, content: &str) {
    writeln!(text, "{content}").expect("a string takes everything");
}

fn ms(samples: &crate::samples::Samples) -> String {
    format!("{:.2} ({:.2})", samples.median * 1e3, samples.min * 1e3)
}
