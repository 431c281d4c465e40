//! Other configurations of known families replay: expected values computed here, without the workspace's formulas.

use crate::files;
use golden::Verdict;
use serde_json::json;
use std::path::Path;
use tch::{Kind, Tensor};
use testkit::{GoldenCase, formula};

#[track_caller]
fn assert_equal(path: &Path) {
    let verdict = Verdict::of(path);
    assert!(matches!(verdict, Verdict::Equal(_)), "{}", verdict.line("case"));
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).view(-1)).unwrap()
}

fn karras([n, min, max, rho]: [f64; 4]) -> Vec<f64> {
    let root = |sigma: f64| sigma.powf(1.0 / rho);
    let level = |i: f64| (root(max) + i / (n - 1.0) * (root(min) - root(max))).powf(rho);
    (0..n as usize).map(|i| level(i as f64)).collect()
}

#[test]
fn other_grids() {
    let folder = tempfile::tempdir().unwrap();
    let path =
        files::edited(&files::case("karras_grids"), folder.path(), "karras_grids_2", |file| {
            files::configure(file, json!([[7, 1e-5, 60, 3], [33, 0.5, 2.5, 1.5]]));
            file.tensors = [
                ("out.sigmas_n7_min1e-05_max60_rho3", [7.0, 1e-5, 60.0, 3.0]),
                ("out.sigmas_n33_min0.5_max2.5_rho1.5", [33.0, 0.5, 2.5, 1.5]),
            ]
            .map(|(name, row)| (name.to_owned(), Tensor::from_slice(&karras(row))))
            .into();
        });
    assert_equal(&path);
    let unlisted = files::edited(&path, folder.path(), "karras_grids_3", |file| {
        files::configure(file, json!([[7, 1e-5, 60, 3]]));
    });
    let line = Verdict::of(&unlisted).line("karras_grids_3");
    assert!(line.starts_with("FAIL karras_grids_3 `out.sigmas_n33_"), "{line}");
}

/// The sampler of EDM for one number whose data is N(m, s²), with churn in every step.
fn sample(sigmas: &[f64], churn: f64, [z, m, s]: [f64; 3], noise: impl Fn(usize) -> f64) -> f64 {
    let slope = |x: f64, level: f64| {
        let variance = s * s + level * level;
        (x - (s * s * x + level * level * m) / variance) / level
    };
    let gamma = (churn / sigmas.len() as f64).min(2f64.sqrt() - 1.0);
    let mut x = z * sigmas[0];
    for (i, &sigma) in sigmas.iter().enumerate() {
        let (from, to) = (sigma * (1.0 + gamma), sigmas.get(i + 1).copied().unwrap_or(0.0));
        x += (from * from - sigma * sigma).sqrt() * noise(i);
        let start = slope(x, from);
        let euler = x + (to - from) * start;
        x = if to > 0.0 { x + (to - from) * (start + slope(euler, to)) / 2.0 } else { euler };
    }
    x
}

#[test]
fn another_stochastic_sampler() {
    let original = files::case("edm_sampler_stochastic");
    let case = GoldenCase::open(&original).unwrap();
    let input = |name: &str| values(case.tensor(name).unwrap());
    let [z, m, s, noise] = ["in.latents", "in.m", "in.s", "in.noise"].map(input);
    let sigmas = karras([6.0, 0.1, 30.0, 4.0]);
    let pixels = z.len();
    let expected: Vec<f64> = (0..pixels)
        .map(|j| sample(&sigmas, 1.5, [z[j], m[j], s[j]], |i| noise[i * pixels + j]))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let path = files::edited(&original, folder.path(), "edm_sampler_churned", |file| {
        files::configure(
            file,
            json!({"num_steps": 6, "sigma_min": 0.1, "sigma_max": 30, "rho": 4, "S_churn": 1.5, "S_max": "inf"}),
        );
        let x = Tensor::from_slice(&expected).view(case.tensor("in.m").unwrap().size().as_slice());
        file.tensors.retain(|(name, _)| name.starts_with("in."));
        file.tensors.push(("out.x".into(), x));
    });
    assert_equal(&path);
}

/// The published loss with alpha 1.7 and scale 50, from the denoised images that the case recorded.
#[test]
fn another_score_identity() {
    let (alpha, scale) = (1.7, 50.0);
    let original = files::case("sid_generator_a1.0");
    let case = GoldenCase::open(&original).unwrap();
    let recorded = |name: &str| values(case.tensor(name).unwrap());
    let [real, fake, y] = ["mid.f_phi", "mid.f_psi", "mid.y"].map(recorded);
    let image = y.len() / recorded("mid.weight").len();
    let loss = |(index, weight): (usize, &f64)| {
        let pixels = index * image..(index + 1) * image;
        let terms = pixels.map(|i| {
            let gap = real[i] - fake[i];
            gap * ((real[i] - y[i]) - alpha * gap)
        });
        (terms.sum::<f64>() / weight) as f32
    };
    let per_sample: Vec<f32> = recorded("mid.weight").iter().enumerate().map(loss).collect();
    let mean = per_sample.iter().sum::<f32>() / per_sample.len() as f32;
    let folder = tempfile::tempdir().unwrap();
    let path = files::edited(&original, folder.path(), "sid_generator_a1.7", |file| {
        files::configure(file, json!({"B": 4, "alpha": alpha, "lsg": scale, "tmax": 800}));
        file.tensors.retain(|(name, _)| !name.starts_with("out."));
        file.tensors.push(("out.loss_per_sample".into(), Tensor::from_slice(&per_sample)));
        file.tensors.push(("out.loss".into(), Tensor::from(mean * scale as f32)));
    });
    assert_equal(&path);
}

/// `AdamW` with PyTorch's default weight decay, clipped, with a decaying rate, after 5 of its 20 steps.
#[test]
fn another_optimizer() {
    let (lr, beta1, beta2, eps, decay, clip) = (0.02, 0.5, 0.95, 1e-8, 0.01, 1.5);
    let original = files::case("optim_adamw");
    let case = GoldenCase::open(&original).unwrap();
    let shapes = ["in.p0", "in.p1"].map(|name| case.tensor(name).unwrap().size());
    let mut p = ["in.p0", "in.p1"].map(|name| values(case.tensor(name).unwrap())).concat();
    let (mut m, mut v) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    for k in 1..=5 {
        let gradient = |i: usize| values(&formula::noise(&format!("opt.g{k}.{i}"), &shapes[i]));
        let mut g = [gradient(0), gradient(1)].concat();
        g.iter_mut().for_each(|g| *g *= 0.4);
        let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        g.iter_mut().for_each(|g| *g *= (clip / (norm + 1e-6)).min(1.0));
        let rate = lr * (1.0 - f64::from(k - 1) / 20.0);
        for j in 0..p.len() {
            m[j] = beta1 * m[j] + (1.0 - beta1) * g[j];
            v[j] = beta2 * v[j] + (1.0 - beta2) * g[j] * g[j];
            let [m_hat, v_hat] =
                [m[j] / (1.0 - f64::powi(beta1, k)), v[j] / (1.0 - f64::powi(beta2, k))];
            p[j] = p[j] * (1.0 - rate * decay) - rate * m_hat / (v_hat.sqrt() + eps);
        }
    }
    let (p0, p1) = p.split_at(12);
    let folder = tempfile::tempdir().unwrap();
    let path = files::edited(&original, folder.path(), "optim_adamw_decaying", |file| {
        let kw = json!({"lr": lr, "betas": [beta1, beta2]});
        files::configure(
            file,
            json!({"cls": "AdamW", "kw": kw, "scale": 0.4, "clip": clip, "lr_decay": true}),
        );
        file.tensors.retain(|(name, _)| name.starts_with("in."));
        for (i, values) in [p0, p1].into_iter().enumerate() {
            let expected = Tensor::from_slice(values).view(shapes[i].as_slice());
            file.tensors.push((format!("out.p{i}_step5"), expected.to_kind(Kind::Float)));
        }
    });
    assert_equal(&path);
}
