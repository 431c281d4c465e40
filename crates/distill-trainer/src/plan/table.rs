//! A plan for people.

use super::Plan;
use std::fmt::{self, Display, Formatter};
use tch::Device;

/// `1.2 GB` and so on, in powers of ten.
pub(crate) fn bytes(count: u64) -> String {
    let mut scaled = count as f64;
    for unit in ["B", "kB", "MB"] {
        if scaled < 999.95 {
            return if unit == "B" { format!("{count} B") } else { format!("{scaled:.1} {unit}") };
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1} GB")
}

/// `cpu`, `cuda:0` and so on.
pub(super) fn device(device: Device) -> String {
    match device {
        Device::Cpu => "cpu".into(),
        Device::Cuda(index) => format!("cuda:{index}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, batch {}, on {}", self.label, self.batch, device(self.device))?;
        let head = ["role", "values", "weights", "optimizer", "averages"];
        writeln!(
            f,
            "  {:14}{:>12}{:>12}{:>12}{:>12}",
            head[0], head[1], head[2], head[3], head[4]
        )?;
        for role in &self.roles {
            let [weights, optimizer, averages] =
                [role.weights, role.optimizer, role.averages].map(bytes);
            let (name, values) = (role.role.0, role.parameters);
            writeln!(f, "  {name:14}{values:>12}{weights:>12}{optimizer:>12}{averages:>12}")?;
        }
        row(f, "kept by the method", Some(self.method))?;
        row(f, "rest of the process: libtorch, data, frozen networks", self.rest)?;
        row(f, "gradients of the largest turn", Some(self.gradients))?;
        let activations = self.turn.map(|_| self.step().saturating_sub(self.gradients));
        row(f, "activations, extended from 2 and 8 images", activations)?;
        row(f, "copy of the state for a checkpoint", Some(self.snapshot))?;
        row(f, "to come on the device", Some(self.to_come()))?;
        row(f, "available on the device", self.available)?;
        if self.device == Device::Cpu {
            row(f, "peak of the process", self.peak())?;
        }
        if let Some(disk) = &self.disk {
            let [each, all] = [disk.each, disk.each.saturating_mul(disk.checkpoints)].map(bytes);
            row(
                f,
                &format!("disk for {} checkpoints of {each}: {all}; free", disk.checkpoints),
                disk.free,
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, what: &str, value: Option<u64>) -> fmt::Result {
    writeln!(f, "  {what:52}{:>10}", value.map_or("unknown".into(), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        let sizes = [0, 999, 1_000, 999_949, 999_960, 55_733_891 * 4, 2_500_000_000];
        let expected = ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "222.9 MB", "2.5 GB"];
        assert_eq!(sizes.map(bytes), expected);
    }

    #[test]
    fn the_table_has_every_part_and_what_is_unknown() {
        let table = Plan { available: None, ..super::super::fit::tests::plan() }.to_string();
        let line = |start: &str| {
            let found = table.lines().find(|line| line.trim_start().starts_with(start));
            found.unwrap_or_else(|| panic!("no `{start}` in\n{table}")).to_owned()
        };
        assert!(line("student").ends_with("4.0 MB      8.0 MB      4.0 MB"));
        assert!(line("activations").ends_with("640.0 MB"));
        assert!(line("peak").ends_with("884.0 MB"));
        assert!(line("available").ends_with("unknown"));
        assert!(line("disk for 3 checkpoints of 20.0 MB: 60.0 MB; free").ends_with("60.0 MB"));
    }
}
