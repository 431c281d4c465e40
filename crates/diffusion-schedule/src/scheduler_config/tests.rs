use super::*;
use crate::{BetaSchedule, Grid, TimestepRule, TimestepSpacing};
use serde_json::json;

/// A scheduler of Stable Diffusion's process with further settings.
fn latent(class: &str, settings: Value) -> Result<SchedulerConfig> {
    let mut file = json!({
        "_class_name": class,
        "_diffusers_version": "0.42.0",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
    });
    let (file, settings) = (file.as_object_mut().unwrap(), settings.as_object().unwrap().clone());
    file.extend(settings);
    SchedulerConfig::try_from(file.clone())
}

fn assert_timesteps(class: &str, settings: Value, expected: [f64; 4]) {
    let grid = latent(class, settings).unwrap().grid();
    let found = grid.timesteps(4).unwrap();
    let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3);
    assert!(close, "{class}: {found:?} is not {expected:?}");
}

#[test]
fn the_file_of_stable_diffusion_1_5_is_read() {
    let text = r#"{
        "_class_name": "PNDMScheduler",
        "_diffusers_version": "0.6.0",
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "num_train_timesteps": 1000,
        "set_alpha_to_one": false,
        "skip_prk_steps": true,
        "steps_offset": 1,
        "trained_betas": null,
        "clip_sample": false
    }"#;
    let scheduler = SchedulerConfig::from_json(text).unwrap();
    assert_eq!(scheduler.class(), SchedulerClass::Pndm);
    assert_eq!(scheduler.process(), DiscreteVp::latent_diffusion());
    let process = DiscreteVp::latent_diffusion();
    let expected = Preconditioning::Discrete(Discrete { process, ..Discrete::default() });
    assert_eq!(scheduler.preconditioning(), expected);
    assert!((scheduler.final_sigma() - 0.029_167).abs() < 1e-6);
    assert_eq!(scheduler.clip_sample(), None);
    let kept: Vec<&str> = scheduler.kept().map(|(field, _)| field).collect();
    assert_eq!(kept, ["clip_sample", "skip_prk_steps"]);
}

#[test]
fn the_defaults_are_the_schedulers_own() {
    let bare = |class: &str| {
        SchedulerConfig::from_json(&format!(r#"{{"_class_name": "{class}"}}"#)).unwrap()
    };
    let ddpm = bare("DDPMScheduler");
    assert_eq!(ddpm.process(), DiscreteVp::default());
    assert_eq!((ddpm.clip_sample(), ddpm.final_sigma()), (Some(1.0), 0.0));
    assert_eq!(ddpm.grid().spacing, TimestepSpacing::Leading);
    let euler = bare("EulerDiscreteScheduler");
    assert_eq!(euler.clip_sample(), None);
    assert_eq!(euler.grid().spacing, TimestepSpacing::LinspaceFractional);
    let lcm = bare("LCMScheduler");
    assert_eq!(lcm.process(), DiscreteVp::latent_diffusion());
    assert_eq!(lcm.grid().spacing, TimestepSpacing::Subset { of: 50 });
    let heun = bare("HeunDiscreteScheduler").process();
    let linear = BetaSchedule::Linear;
    assert_eq!(heun, DiscreteVp { beta_schedule: linear, ..DiscreteVp::latent_diffusion() });
    let deis = bare("DEISMultistepScheduler"); // it always ends at the lowest level
    assert_eq!(deis.final_sigma(), deis.process().sigma(0.0));
}

#[test]
fn timesteps_are_those_of_diffusers() {
    let leading = || json!({"timestep_spacing": "leading", "steps_offset": 1});
    let trailing = || json!({"timestep_spacing": "trailing"});
    let linspace = || json!({"timestep_spacing": "linspace"});
    let karras = || json!({"use_karras_sigmas": true});
    for class in ["DDPMScheduler", "DDIMScheduler", "PNDMScheduler", "EulerDiscreteScheduler"] {
        assert_timesteps(class, leading(), [751.0, 501.0, 251.0, 1.0]);
        assert_timesteps(class, trailing(), [999.0, 749.0, 499.0, 249.0]);
        assert_timesteps(class, linspace(), [999.0, 666.0, 333.0, 0.0]);
    }
    for class in
        ["EulerAncestralDiscreteScheduler", "HeunDiscreteScheduler", "LMSDiscreteScheduler"]
    {
        assert_timesteps(class, json!({}), [999.0, 666.0, 333.0, 0.0]);
    }
    let solvers =
        ["DPMSolverMultistepScheduler", "DEISMultistepScheduler", "UniPCMultistepScheduler"];
    for class in solvers {
        assert_timesteps(class, json!({}), [999.0, 749.0, 500.0, 250.0]);
        assert_timesteps(class, leading(), [801.0, 601.0, 401.0, 201.0]);
        assert_timesteps(class, trailing(), [999.0, 749.0, 499.0, 249.0]);
        assert_timesteps(class, karras(), [999.0, 687.0, 146.0, 0.0]);
    }
    assert_timesteps("DPMSolverSinglestepScheduler", leading(), [999.0, 749.0, 500.0, 250.0]);
    for class in ["LCMScheduler", "TCDScheduler"] {
        assert_timesteps(class, leading(), [999.0, 759.0, 499.0, 259.0]);
    }
    let mut moved = leading();
    moved["use_karras_sigmas"] = true.into();
    assert_timesteps("EulerDiscreteScheduler", moved, [751.0, 411.415_375, 69.403_160, 1.0]);
}

#[test]
fn the_network_gets_fractional_timesteps_where_the_scheduler_gives_them() {
    let rule = |class| match latent(class, json!({})).unwrap().preconditioning() {
        Preconditioning::Discrete(discrete) => discrete.timestep,
        other => panic!("{other:?}"),
    };
    assert_eq!(rule("EulerDiscreteScheduler"), TimestepRule::Interpolated);
    assert_eq!(rule("DPMSolverMultistepScheduler"), TimestepRule::Nearest);
    assert_eq!(rule("LCMScheduler"), TimestepRule::Nearest);
}

#[test]
fn pure_noise_and_velocity_are_read() {
    let settings = json!({
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": true,
        "timestep_spacing": "trailing",
        "final_sigmas_type": "sigma_min",
    });
    let euler = latent("EulerDiscreteScheduler", settings.clone()).unwrap();
    assert_eq!(euler.prediction(), Prediction::VPrediction);
    assert!((euler.grid().sigmas(4)[0] - 4096.0).abs() < 1e-3);
    assert_eq!(euler.final_sigma(), euler.process().sigma(0.0));
    // Heun has neither setting, and ignores them
    let heun = latent("HeunDiscreteScheduler", settings).unwrap();
    assert_eq!((heun.process().zero_terminal_snr, heun.final_sigma()), (false, 0.0));
}

#[test]
fn bare_infinities_are_read() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity,
        "solver_order": 2, "use_karras_sigmas": null}"#;
    let scheduler = SchedulerConfig::from_json(text).unwrap();
    assert_eq!(scheduler.kept().collect::<Vec<_>>(), [("solver_order", &json!(2))]);
    let bounded = latent("DPMSolverMultistepScheduler", json!({"lambda_min_clipped": -5.1}));
    assert!(matches!(bounded, Err(Error::SchedulerSetting { field: "lambda_min_clipped", .. })));
}

#[test]
fn settings_that_would_change_numbers_are_refused() {
    for (class, settings) in [
        ("DDIMScheduler", json!({"trained_betas": [0.1, 0.2]})),
        ("DDIMScheduler", json!({"thresholding": true})),
        ("DDIMScheduler", json!({"beta_schedule": "laplace"})),
        ("DDIMScheduler", json!({"timestep_spacing": "Leading"})),
        ("DDIMScheduler", json!({"timestep_spacing": "linspace_open"})),
        ("DDIMScheduler", json!({"steps_offset": -1})),
        ("DDIMScheduler", json!({"set_alpha_to_one": "false"})),
        ("DDPMScheduler", json!({"predict_epsilon": false})),
        ("DDPMScheduler", json!({"num_train_timesteps": 1000.5})),
        ("DPMSolverMultistepScheduler", json!({"prediction_type": "flow_prediction"})),
        ("DPMSolverMultistepScheduler", json!({"use_lu_lambdas": true})),
        ("DPMSolverMultistepScheduler", json!({"final_sigmas_type": "one"})),
        ("EulerDiscreteScheduler", json!({"timestep_type": "continuous"})),
        ("EulerDiscreteScheduler", json!({"interpolation_type": "log_linear"})),
        ("EulerDiscreteScheduler", json!({"sigma_max": 700.0})),
        ("LCMScheduler", json!({"original_inference_steps": -50})),
        ("LCMScheduler", json!({"original_inference_steps": 1001})),
        ("LCMScheduler", json!({"timestep_scaling": 0.5})),
    ] {
        let name = settings.as_object().unwrap().keys().next().unwrap().clone();
        let value = settings[&name].to_string();
        match latent(class, settings) {
            Err(Error::SchedulerSetting { field, value: found, .. }) => {
                assert_eq!((field, found), (name.as_str(), value));
            }
            other => panic!("{class} {name}: {other:?}"),
        }
    }
}

#[test]
fn impossible_processes_and_unknown_schedulers_are_refused() {
    let refusal = |class, settings| latent(class, settings).unwrap_err();
    let steps = refusal("DDIMScheduler", json!({"num_train_timesteps": 1}));
    assert!(matches!(steps, Error::ProcessSteps { steps: 1, .. }));
    let beta = refusal("DDIMScheduler", json!({"beta_end": 2.0}));
    assert_eq!(beta, Error::Beta { name: "beta_end", value: 2.0 });
    let range = refusal("DDIMScheduler", json!({"clip_sample_range": 0.0}));
    assert_eq!(range, Error::NotPositive { name: "clip_sample_range", value: 0.0 });
    assert!(matches!(refusal("KarrasVeScheduler", json!({})), Error::SchedulerClass { .. }));
    assert!(matches!(SchedulerConfig::from_json("{}"), Err(Error::SchedulerClass { .. })));
}

#[test]
fn serde_reads_and_writes_the_file() {
    let settings = json!({"original_inference_steps": 100, "solver": "its own"});
    let scheduler = latent("LCMScheduler", settings).unwrap();
    let text = serde_json::to_string(&scheduler).unwrap();
    assert_eq!(serde_json::from_str::<SchedulerConfig>(&text).unwrap(), scheduler);
    assert!(text.contains("_diffusers_version"));
    let refused = serde_json::from_str::<SchedulerConfig>(r#"{"_class_name": "X"}"#).unwrap_err();
    assert!(refused.to_string().contains("`X` is not supported"), "{refused}");
}
