//! The whole story on built-in pictures: train a teacher, distill it to one step, compare both.
//!
//! ```text
//! cargo xtask quickstart                                   # sets everything up first
//! cargo run --release --example 01_quickstart -- [FOLDER]  # FOLDER defaults to runs/quickstart
//! ```
//!
//! Takes about 7 minutes on two CPU cores. Expect this table (the seeds are fixed), and in the folder `comparison.png`
//! with real pictures, the teacher's and the student's, all of them squares, triangles and circles in four colors:
//!
//! ```text
//! sampler                 NFE  images  ms/image  random-FD     SW1
//! real images               -    1024         -     0.0385  0.0165
//! teacher                  35    1024     11.06     0.0772  0.0255
//! teacher, 5 Euler steps    5    1024      1.58     0.1838  0.0458
//! student                   1    1024      0.31     0.1022  0.0298
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program for people

use anyhow::Result;
use fewstep::datasets::{Loader, Shapes, images};
use fewstep::diffusion_schedule::{Edm, Euler, OdeSampler};
use fewstep::distill_trainer::Precision;
use fewstep::distill_trainer::observer::{Console, JsonLines, LossCurves, SampleGrid, write_grid};
use fewstep::libtorch_ext;
use fewstep::metrics::{Evaluation, table};
use fewstep::prelude::*;
use fewstep::unet::Architecture;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SIZE: u32 = 16;
const CLASSES: i64 = 12;
const N_EVAL: i64 = 1024;

fn main() -> Result<()> {
    libtorch_ext::process::tune_allocator();
    let out = PathBuf::from(std::env::args().nth(1).unwrap_or("runs/quickstart".into()));
    let device = device::parse("auto")?;

    // 1. Data: three shapes in four colors, drawn on the fly. Held-out pictures come from another seed.
    let training = Arc::new(Shapes::new(SIZE, 20_000, 0));
    let held_out = images(&Shapes::new(SIZE, 2 * N_EVAL as usize, 1), 0..2 * N_EVAL as usize)?;

    // 2. The teacher: a DDPM++ of 0.2 million parameters, trained as EDM trains it.
    let config = ModelConfig {
        architecture: Architecture::SongUnet(SongUnetConfig {
            img_resolution: i64::from(SIZE),
            label_dim: CLASSES,
            model_channels: 16,
            channel_mult: vec![1, 2],
            num_blocks: 1,
            attn_resolutions: vec![8],
            dropout: 0.0,
            ..SongUnetConfig::default()
        }),
        preconditioning: Preconditioning::Edm(Edm::default()),
        sampler: None,
    };
    let fresh = config.build(&mut Noise::new(0).stream("weights"), device)?;
    println!("teacher: {} parameters, on {device:?}", fresh.parameters().count());
    let teacher = run(
        "teacher",
        &Ingredients::train(&fresh),
        [64.0, 1e-3],
        &training,
        &config,
        &out.join("teacher"),
    )?;

    // 3. The student: one step, distilled without data by score identity distillation.
    let student = run(
        "sid",
        &Ingredients::distill(&teacher),
        [64.0, 3e-4],
        &training,
        &config,
        &out.join("student"),
    )?;

    // 4. The comparison: the same latents and labels for every sampler.
    let reference = held_out.narrow(0, N_EVAL);
    let other_half = held_out.narrow(N_EVAL, N_EVAL);
    let mut evaluation = Evaluation::new(&reference, 128, device)?;
    let mut reports = vec![evaluation.real("real images", &other_half.images)?];
    let euler = OdeSampler::<Euler> { steps: 5, ..OdeSampler::default() };
    let generators: [(&str, Box<dyn Generator>); 3] = [
        ("teacher", Box::new(Sampling::new(&teacher, EdmSampler::default()))),
        ("teacher, 5 Euler steps", Box::new(Sampling::new(&teacher, euler))),
        ("student", Box::new(Sampling::new(&student, OneStep { sigma: 2.5 }))),
    ];
    let mut pictures = vec![other_half.images.narrow(0, 0, 96)];
    for (name, generator) in generators {
        let evaluated = evaluation.run(name, &*generator, N_EVAL, &Noise::new(7).on(device))?;
        reports.push(evaluated.report);
        pictures.push(evaluated.images.narrow(0, 0, 96));
    }
    let files = ["real.png", "teacher.png", "teacher_5_steps.png", "student.png"];
    for (file, images) in files.iter().zip(&pictures) {
        write_grid(&out.join(file), images, 12)?;
    }
    let [real, teacher, _, student] = &pictures[..] else { unreachable!("four pictures") };
    write_grid(&out.join("comparison.png"), &side_by_side(&[real, teacher, student]), 26)?;
    println!("\n{}\neverything is in {}", table(&reports), out.display());
    Ok(())
}

/// Blocks of six rows of eight images, with a dark column between them.
fn side_by_side(blocks: &[&Tensor]) -> Tensor {
    let size = i64::from(SIZE);
    let block = |images: &&Tensor| images.narrow(0, 0, 48).view([6, 8, 3, size, size]);
    let blocks: Vec<Tensor> = blocks.iter().map(block).collect();
    let gap = Tensor::full([6, 1, 3, size, size], -1.0, (Kind::Float, Device::Cpu));
    let columns: Vec<&Tensor> = blocks.iter().flat_map(|block| [&gap, block]).skip(1).collect();
    Tensor::cat(&columns, 1).view([-1, 3, size, size])
}

/// Trains a method's student for `kimg` thousand images at the learning rate `lr` and saves its average in `out`.
fn run(
    name: &str,
    ingredients: &Ingredients<'_>,
    [kimg, lr]: [f64; 2],
    data: &Arc<Shapes>,
    config: &ModelConfig,
    out: &Path,
) -> Result<Network> {
    let entry = method(name)?;
    let mut roles = (entry.short_run)();
    roles.values_mut().for_each(|role| role.optimizer.lr = lr);
    // The results above were made in f32; by default a run takes bf16 where the hardware computes it.
    let run = TrainConfig { kimg, roles, precision: Precision::F32, ..TrainConfig::default() };
    let device = ingredients.initial.parameters().device();
    let example = images(&**data, 0..48)?;
    let grid = SampleGrid::new(
        out.join("samples"),
        [3, SIZE.into(), SIZE.into()],
        [4, 12],
        &Noise::new(1).on(device),
    )
    .labeled(example.cond)
    .every(5);
    let mut trainer = Trainer::new((entry.build)(ingredients, &Default::default())?, run, device)?
        .label(entry.title)
        .observe(Console::new())
        .observe(JsonLines::create(out.join("log.jsonl"))?)
        .observe(LossCurves::new(out.join("curves.png")))
        .observe(grid);
    trainer.run(&mut Loader::new(data.clone(), 0)?)?;

    let _averages = trainer.averaged();
    let network = trainer.method().network();
    let config = config.for_student(network, trainer.method().sampler());
    unet::save(&out.join("model.safetensors"), network.parameters(), &config)?;
    Ok(network.twin())
}
