//! Every published network that can be built: its tensors and parameters, found without taking memory for them.
//!
//! ```text
//! cargo run --release --example 06_sizes
//! cargo run --release --example 06_sizes -- adm
//! ```
//!
//! Takes a second. Expect a line for each network, such as `DDPM++ CIFAR-10  song-unet  425 tensors  55,733,891 parameters`.
//! With a word, only the networks whose name holds it are listed. `--json` lists them for a machine.

#![allow(clippy::print_stdout)] // it is a program for people

use anyhow::{Result, ensure};
use clap::Parser;
use fewstep::unet::{
    Architecture, DhariwalUnetConfig, GetConfig, GuidedUnetConfig, ShiftUnetConfig, SongUnetConfig,
    Unet2dConditionConfig, Unet2dConfig,
};
use serde_json::json;

/// List the sizes of published networks.
#[derive(Debug, Parser)]
struct Args {
    /// Only networks whose name holds this word.
    #[arg(default_value = "")]
    word: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let wanted = |name: &str| name.to_lowercase().contains(&args.word.to_lowercase());
    let mut count = 0;
    for (name, architecture) in networks().into_iter().filter(|(name, _)| wanted(name)) {
        let kind = json!(architecture)["kind"].as_str().unwrap_or_default().to_owned();
        let tensors = architecture.state_dict()?.len();
        show(&args, name, &kind, Some(tensors), architecture.parameter_count()?);
        count += 1;
    }
    for (name, config) in equilibrium_transformers().into_iter().filter(|(name, _)| wanted(name)) {
        show(&args, name, "get", None, config.parameter_count()?);
        count += 1;
    }
    ensure!(count > 0, "no network's name holds `{}`", args.word);
    Ok(())
}

fn show(args: &Args, name: &str, kind: &str, tensors: Option<usize>, parameters: u64) {
    if args.json {
        let line =
            json!({ "name": name, "kind": kind, "tensors": tensors, "parameters": parameters });
        println!("{line}");
        return;
    }
    let tensors = tensors.map_or_else(String::new, |tensors| format!("{tensors} tensors"));
    println!("{name:46} {kind:24} {tensors:>12}  {:>13} parameters", grouped(parameters));
}

/// With a comma between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

fn networks() -> Vec<(&'static str, Architecture)> {
    use Architecture::{DhariwalUnet, GuidedUnet, ShiftUnet, SongUnet, Unet2d, Unet2dCondition};
    vec![
        ("DDPM++ CIFAR-10", SongUnet(SongUnetConfig::cifar10(0))),
        ("DDPM++ CIFAR-10 with classes", SongUnet(SongUnetConfig::cifar10(10))),
        ("DDPM++ FFHQ and AFHQv2 64", SongUnet(SongUnetConfig::ffhq64())),
        ("NCSN++ CIFAR-10", SongUnet(SongUnetConfig::cifar10(0).ncsnpp())),
        ("NCSN++ CIFAR-10 with classes", SongUnet(SongUnetConfig::cifar10(10).ncsnpp())),
        ("NCSN++ FFHQ and AFHQv2 64", SongUnet(SongUnetConfig::ffhq64().ncsnpp())),
        ("ADM ImageNet 64 (EDM)", DhariwalUnet(DhariwalUnetConfig::imagenet64())),
        (
            "ADM ImageNet 64 (iDDPM)",
            DhariwalUnet(DhariwalUnetConfig::imagenet64().with_learned_variance()),
        ),
        ("guided-diffusion ADM ImageNet 64", GuidedUnet(GuidedUnetConfig::imagenet64())),
        ("guided-diffusion ADM ImageNet 128", GuidedUnet(GuidedUnetConfig::imagenet128())),
        ("guided-diffusion ADM ImageNet 256", GuidedUnet(GuidedUnetConfig::imagenet256())),
        (
            "guided-diffusion ADM ImageNet 256, no classes",
            GuidedUnet(GuidedUnetConfig::imagenet256_unconditional()),
        ),
        ("guided-diffusion ADM ImageNet 512", GuidedUnet(GuidedUnetConfig::imagenet512())),
        (
            "consistency model ADM ImageNet 64",
            GuidedUnet(GuidedUnetConfig::consistency_imagenet64()),
        ),
        ("consistency model ADM LSUN 256", GuidedUnet(GuidedUnetConfig::consistency_lsun256())),
        ("SFERD student CIFAR-10", ShiftUnet(ShiftUnetConfig::default())),
        ("DDPM CIFAR-10 (diffusers)", Unet2d(Unet2dConfig::ddpm_cifar10())),
        ("DDPM 256 (diffusers)", Unet2d(Unet2dConfig::ddpm_256())),
        ("Stable Diffusion 1.5", Unet2dCondition(Unet2dConditionConfig::sd15())),
        ("Stable Diffusion 2.1", Unet2dCondition(Unet2dConditionConfig::sd21())),
        ("Stable Diffusion XL", Unet2dCondition(Unet2dConditionConfig::sdxl())),
        ("LCM of Stable Diffusion 1.5", Unet2dCondition(Unet2dConditionConfig::lcm_sd15())),
        ("LCM of Stable Diffusion XL", Unet2dCondition(Unet2dConditionConfig::lcm_sdxl())),
    ]
}

fn equilibrium_transformers() -> [(&'static str, GetConfig); 5] {
    [
        ("GET-T", GetConfig::tiny()),
        ("GET-M", GetConfig::mini()),
        ("GET-S", GetConfig::small()),
        ("GET-B", GetConfig::base()),
        ("GET-B+", GetConfig::base_plus()),
    ]
}
