//! The comparison with PyTorch, `benches/vs_pytorch`: what it counts, asks and says. It runs by
//! `cargo xtask bench-vs-pytorch`; nothing here needs PyTorch.
#![allow(dead_code)] // only parts of the program are tested

#[path = "../benches/vs_pytorch/duel.rs"]
mod duel;
#[path = "../benches/vs_pytorch/flops.rs"]
mod flops;
#[path = "../benches/vs_pytorch/limits.rs"]
mod limits;
#[path = "../benches/vs_pytorch/protocol.rs"]
mod protocol;
#[path = "../benches/vs_pytorch/report.rs"]
mod report;
#[path = "../benches/vs_pytorch/rows.rs"]
mod rows;
#[path = "../benches/vs_pytorch/samples.rs"]
mod samples;
#[path = "../benches/vs_pytorch/side.rs"]
mod side;
#[path = "../benches/network/small.rs"]
mod small;
#[path = "../benches/network/tiny.rs"]
mod tiny;

use duel::Duel;
use fewstep::diffusion_core::{Backbone, Noise};
use fewstep::tch::Device;
use fewstep::unet::{SongUnet, SongUnetConfig};
use limits::{Limits, Peak};
use protocol::{Memory, Precision, Request, Versions};
use report::{Checked, Line, Machine, Report};
use rows::{Net, ROWS};
use samples::Samples;
use side::Launcher;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn operations_of_layers_by_hand() {
    let conv = flops::of_layer("model.enc.8x8_conv.weight", &[5, 3, 3, 3]);
    assert_eq!(conv, f64::from(2 * 5 * 3 * 9 * 64));
    assert_eq!(flops::of_layer("model.enc.8x8_block0.affine.weight", &[7, 11]), 154.0);
    let proj = flops::of_layer("model.dec.4x4_in0.proj.weight", &[6, 6, 1, 1]);
    assert_eq!(proj, f64::from(2 * 36 * 16 + 2 * 2 * 6 * 16 * 16));
    assert_eq!(flops::of_layer("model.enc.8x8_conv.bias", &[5]), 0.0);
    assert_eq!(flops::of_layer("model.enc.8x8_down.conv0.resample_filter", &[1, 1, 2, 2]), 0.0);
}

#[test]
fn operations_of_the_network_for_cifar10() {
    let network = SongUnet::zeroed(&SongUnetConfig::cifar10(0), Device::Cpu).unwrap();
    let flops = flops::per_image(network.parameters());
    assert!((flops / 42.4e9 - 1.0).abs() < 2e-3, "{flops}");
}

#[test]
fn the_networks_have_the_sizes_that_are_said() {
    for (net, millions) in
        [(Net::Tiny, 0.2), (Net::Small, 1.8), (Net::Medium, 11.4), (Net::Full, 55.7)]
    {
        let network = SongUnet::new(&net.config(), &mut Noise::new(0), Device::Cpu).unwrap();
        let found = network.parameters().count() as f64 / 1e6;
        assert!((found - millions).abs() < 0.051, "{net:?}: {found}");
    }
}

#[test]
fn rows_and_configurations_have_names_of_their_own() {
    let names: BTreeSet<String> = ROWS.iter().map(rows::Row::name).collect();
    assert_eq!(names.len(), ROWS.len());
    for row in ROWS {
        let all = row.configurations(true);
        let names: BTreeSet<String> = all.iter().map(|one| one.name(row.kind)).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
        assert!(row.configurations(false).iter().all(|one| !one.compile && all.contains(one)));
    }
}

#[test]
fn the_median_is_the_middle_or_between_the_two() {
    let odd = Samples::of(vec![9.0, 1.0, 2.0]);
    assert_eq!(odd, Samples { median: 2.0, min: 1.0, count: 3 });
    assert_eq!(Samples::of(vec![4.0, 1.0, 2.0, 100.0]).median, 3.0);
}

fn duel(configuration: &str, ours: f64, theirs: f64, peak: u64) -> Duel {
    let [ours, theirs] = [ours, theirs].map(|seconds| Samples::of(vec![seconds]));
    let memory = |peak| Memory { base: 100_000_000, peak };
    let (our_memory, their_memory) = (memory(200_000_000), memory(peak));
    Duel { configuration: configuration.into(), ours, theirs, our_memory, their_memory }
}

fn report() -> Report {
    let peak = Peak { matmul: 200e9, conv: 250e9 };
    let default = duel("eager", 0.010, 0.030, 600_000_000);
    Report {
        machine: Machine {
            date: "2026-01-02".into(),
            cpu: "a processor".into(),
            threads: 2,
            commit: "abc".into(),
            rounds: 1,
            versions: Versions { python: "3.12".into(), torch: "2.11.0".into() },
        },
        limits: Limits { f32: peak, bf16: peak },
        checks: vec![Checked { network: "tiny", parameters: 7, difference: 2e-6 }],
        lines: vec![Line {
            row: "full/forward/b1".into(),
            precision: Precision::F32,
            threads: 2,
            our_memory: default.our_memory,
            unconfigured: Some(default.clone()),
            flops: Some(1e9),
            // The best is neither the first nor the last; ours was slower beside it.
            duels: vec![
                default,
                duel("channels last", 0.016, 0.020, 500_000_000),
                duel("compile", 0.010, 0.025, 700_000_000),
            ],
        }],
        failures: vec!["a row: it took too long".into()],
    }
}

#[test]
fn the_ratio_is_that_of_the_best_configuration_and_ours_beside_it() {
    let text = report().markdown();
    let row = "| full/forward/b1 | f32 | 16.00 (16.00) | 20.00 (20.00) | channels last | **1.25** | 30.00 (30.00) | 3.00 |";
    assert!(text.contains(row), "{text}");
    assert!(
        text.contains("| full/forward/b1 | 10.00 (10.00) | 30.00 (30.00) | **3.00** |"),
        "{text}"
    );
}

#[test]
fn memory_is_compared_with_the_leanest_configuration() {
    let text = report().markdown();
    assert!(text.contains("| full/forward/b1 | f32 | 200 (100) | 500 (100) | 2.50 |"), "{text}");
}

#[test]
fn the_share_of_the_limit_and_failures_are_said() {
    let text = report().markdown();
    // 1 GFLOP in 16 ms and in 20 ms, of 200 GFLOP/s
    assert!(text.contains("| full/forward/b1 | f32 | 1.0 | 62 | 31 % | 50 | 25 % |"), "{text}");
    assert!(text.contains("- a row: it took too long"), "{text}");
}

#[cfg(unix)]
fn launcher(script: &str) -> (tempfile::TempDir, Launcher) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let python = folder.path().join("python");
    std::fs::write(&python, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, Launcher { python, patience: Duration::from_millis(300), verbose: false })
}

#[test]
#[cfg(unix)]
fn answers_are_understood_and_failures_say_what_they_are() {
    // One test for all, because a script cannot be started while another thread's child holds it open.
    let (_folder, good) = launcher(r#"read line; echo '{"seconds": [0.5, 0.25]}'"#);
    assert_eq!(good.twin(1).unwrap().run(2).unwrap(), [0.5, 0.25]);
    let cases = [
        (r#"read line; echo '{"error": "out of luck"}'"#, "out of luck"),
        ("exec sleep 60", "did not answer"),
        ("read line", "has ended"),
        ("read line; echo Traceback", "what is no JSON: Traceback"),
    ];
    for (script, expected) in cases {
        let (_folder, launcher) = launcher(script);
        let error = launcher.twin(1).unwrap().run(1).unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{script}: {error:#}");
    }
}

#[test]
fn a_request_is_what_the_twin_reads() {
    let text = serde_json::to_string(&Request::Run { iterations: 3 }).unwrap();
    assert_eq!(text, r#"{"do":"run","iterations":3}"#);
}
