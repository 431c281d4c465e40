//! What a run leaves: networks, pictures, the table.

use super::job::Job;
use super::phase::Phase;
use super::settings::Flags;
use anyhow::Result;
use fewstep::datasets::{Loader, images};
use fewstep::diffusion_schedule::{Euler, OdeSampler};
use fewstep::distill_trainer::Resume;
use fewstep::distill_trainer::observer::write_grid;
use fewstep::metrics::table;
use fewstep::prelude::*;
use std::path::Path;

/// The file of the best checkpoint's network, beside `model.safetensors`.
const BEST: &str = "best.safetensors";

impl Job {
    /// Saves the averaged network.
    pub(super) fn save(
        &self,
        trainer: &Trainer<Box<dyn Distiller>>,
        model: &ModelConfig,
        path: &Path,
    ) -> Result<(Network, ModelConfig)> {
        let _averages = trainer.averaged();
        let network = trainer.method().network();
        let model = model.for_student(network, trainer.method().sampler());
        if self.world.is_first() {
            unet::save(path, network.parameters(), &model)?;
        }
        Ok((network.twin(), model))
    }

    /// Saves the averaged network of the best checkpoint beside the last one; the trainer is that checkpoint's then.
    pub(super) fn save_best(
        &self,
        phase: &Phase<'_>,
        trainer: &mut Trainer<Box<dyn Distiller>>,
        data: &mut Loader,
        model: &ModelConfig,
    ) -> Result<()> {
        let best = if self.world.is_first() { self.checkpoints(phase).best()? } else { None };
        let (Some((checkpoint, value)), Some((metric, _))) = (best, phase.best) else {
            return Ok(());
        };
        let path = self.settings.flags.out.join(phase.folder).join(BEST);
        trainer.resume_by(&Resume::From(checkpoint), data)?;
        self.save(trainer, model, &path)?;
        println!(
            "best {metric}: {value:.4} at {:.1} kimg, saved as {}. Of several values the best is too good: \
             report one of new seeds, and of another metric",
            trainer.progress().kimg(),
            path.display()
        );
        Ok(())
    }

    /// The table and the pictures.
    pub(super) fn compare(
        &self,
        teacher: &Network,
        student: &Network,
        model: &ModelConfig,
    ) -> Result<()> {
        let Flags { out, batch, seed, .. } = &self.settings.flags;
        let n = self.held_out.len();
        let reference = images(&*self.held_out, 0..n)?;
        let real = images(&*self.training, 0..n)?;
        let evaluated = &self.settings.evaluation;
        let mut evaluation = evaluated.build(&reference, *batch as i64, self.device)?;
        let floor = evaluation.labeled("training images", &real.images, &real.cond)?;
        let mut reports = vec![floor];
        let few = OdeSampler::<Euler> { steps: 5, ..OdeSampler::default() };
        let one = model.sampler.clone().unwrap_or_default().build()?;
        let mut generators: Vec<(&str, Box<dyn Generator>)> = vec![
            ("teacher", Box::new(Sampling::new(teacher, EdmSampler::default()))),
            ("teacher_few_steps", Box::new(Sampling::new(teacher, few))),
            ("student", Box::new(Sampling::new(student, one))),
        ];
        let best = out.join("student").join(BEST);
        if !evaluated.keep_best.is_empty() && best.exists() {
            let (network, model) = unet::load(&best, self.device)?;
            let sampler = model.sampler.unwrap_or_default().build()?;
            generators.push(("student_best", Box::new(Sampling::new(network, sampler))));
        }
        let shown = 80.min(n as i64);
        write_grid(&out.join("real.png"), &reference.images.narrow(0, 0, shown), 10)?;
        for (name, generator) in generators {
            let noise = Noise::new(*seed).stream("evaluation").on(self.device);
            let evaluated = evaluation.run(name, &*generator, n as i64, &noise)?;
            write_grid(
                &out.join(format!("{name}.png")),
                &evaluated.images.narrow(0, 0, shown),
                10,
            )?;
            reports.push(evaluated.report);
        }
        std::fs::write(out.join("report.json"), serde_json::to_string_pretty(&reports)?)?;
        println!("\n{}\neverything is in {}", table(&reports), out.display());
        Ok(())
    }
}
