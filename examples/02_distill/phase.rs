//! A run of the trainer: of the teacher, or of the student.

use super::evaluation::Watch;
use super::job::Job;
use super::settings::Settings;
use anyhow::Result;
use fewstep::datasets::{Loader, images};
use fewstep::diffusion_core::tensor_file;
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::observer::{Console, JsonLines, LossCurves, SampleGrid, TensorBoard};
use fewstep::distill_trainer::{Better, Manifest, Resume};
use fewstep::prelude::*;

/// One of the two.
pub(super) struct Phase<'a> {
    entry: &'static MethodInfo,
    ingredients: Ingredients<'a>,
    options: toml::Table,
    run: &'a TrainConfig,
    pub(super) folder: &'static str,
    /// By which metric checkpoints are kept.
    pub(super) best: Option<(&'a str, Better)>,
}

impl Job {
    pub(super) fn teacher_phase<'a>(&'a self, fresh: &'a Network) -> Result<Phase<'a>> {
        let (entry, run) = (method("teacher")?, &self.settings.teacher_run);
        let (ingredients, options) = (Ingredients::train(fresh), (entry.options)());
        Ok(Phase { entry, ingredients, options, run, folder: "teacher", best: None })
    }

    pub(super) fn student_phase<'a>(&'a self, teacher: &'a Network) -> Phase<'a> {
        let Settings { student_run: run, options, .. } = &self.settings;
        let (ingredients, options) = (Ingredients::distill(teacher), options.clone());
        Phase { entry: self.entry, ingredients, options, run, folder: "student", best: None }
    }

    pub(super) fn trainer(&self, phase: &Phase<'_>) -> Result<Trainer<Box<dyn Distiller>>> {
        let Phase { entry, ingredients, options, run, .. } = phase;
        let method = (entry.build)(ingredients, options)?;
        Ok(Trainer::new(method, (*run).clone(), self.device)?
            .label(format!("{} on {}", entry.title, self.training.name()))
            .distributed(self.world.clone())?
            .checkpoints(self.checkpoints(phase))
            .interrupted_by(self.interrupt.clone()))
    }

    pub(super) fn checkpoints(&self, phase: &Phase<'_>) -> CheckpointFolder {
        let path = self.settings.flags.out.join(phase.folder).join("checkpoints");
        let newest = CheckpointFolder::at(path, 2);
        match phase.best {
            Some((metric, better)) => newest.keep_best(metric, better, 1),
            None => newest,
        }
    }

    pub(super) fn data(&self, phase: &Phase<'_>) -> Result<Loader> {
        let loader = Loader::new(self.training.clone(), phase.run.seed)?;
        Ok(loader.with_flip(self.settings.flags.flip))
    }

    /// Runs a phase to its end and saves the averaged student.
    pub(super) fn run(
        &self,
        phase: &Phase<'_>,
        model: &ModelConfig,
        watch: Option<Watch>,
    ) -> Result<(Network, ModelConfig)> {
        let out = self.settings.flags.out.join(phase.folder);
        let (c, h, w) = self.training.shape();
        let noise = Noise::new(phase.run.seed).stream("grid").on(self.device);
        let grid =
            SampleGrid::new(out.join("samples"), [c.into(), h.into(), w.into()], [4, 10], &noise)
                .labeled(images(&*self.training, 0..40)?.cond)
                .every(4);
        let mut trainer = self
            .trainer(phase)?
            .observe(Console::new())
            .observe(JsonLines::create(out.join("log.jsonl"))?)
            .observe(LossCurves::new(out.join("curves.png")))
            .observe(TensorBoard::new(out.join("tensorboard")).with_samples(grid));
        if let Some(watch) = watch {
            let noise = Noise::new(phase.run.seed).stream("evaluation in training");
            trainer = trainer.observe(watch.observer(&self.settings.evaluation, noise));
        }
        let mut data = self.data(phase)?;
        let resumed = trainer.resume_by(&self.how_to_resume(phase)?, &mut data)?;
        for passed_over in resumed.passed_over {
            eprintln!("not used: {passed_over}");
        }
        if self.world.is_first() {
            if let Some(path) = resumed.from {
                println!("goes on from {}", path.display());
            }
            self.plan(&mut trainer, &mut data)?;
            let settings = self.settings.flags.out.join("settings.toml");
            tensor_file::write_bytes(&settings, toml::to_string(&self.settings)?.as_bytes())?;
        }
        if trainer.run(&mut data)? == Outcome::Interrupted {
            if self.world.is_first() {
                eprintln!("interrupted; the same command with --resume goes on");
            }
            std::process::exit(self.interrupt.exit_code());
        }
        let finished = self.save(&trainer, model, &out.join("model.safetensors"))?;
        self.save_best(phase, &mut trainer, &mut data, model)?;
        self.world.barrier()?;
        Ok(finished)
    }

    /// Which checkpoint a phase goes on from. A run that must be resumed may be resumed between its phases; a checkpoint
    /// that was named belongs to the phase of its method.
    fn how_to_resume(&self, phase: &Phase<'_>) -> Result<Resume> {
        let flags = &self.settings.flags;
        let teacher_is_done = flags.out.join("teacher/model.safetensors").exists();
        Ok(match &self.action.resume {
            Resume::Must if phase.folder == "student" && teacher_is_done => Resume::Auto,
            Resume::From(path) => match Manifest::read(path)?.method {
                of if of == phase.entry.name => Resume::From(path.clone()),
                of if of == "teacher" => Resume::Auto,
                of if of == self.entry.name => anyhow::bail!(
                    "{} is a checkpoint of `{of}`: name the teacher it was made with (--teacher)",
                    path.display()
                ),
                of => anyhow::bail!(
                    "{} is a checkpoint of `{of}`; this run has the methods `teacher` and `{}`",
                    path.display(),
                    self.entry.name
                ),
            },
            how => how.clone(),
        })
    }
}
