//! The two runs.

use super::evaluation::{EvaluationSettings, Watch};
use super::settings::{Action, Flags, Settings, small_network, take};
use anyhow::{Context, Result, ensure};
use fewstep::datasets::{self, Color, ImageSource, Loader, OpenOptions, hold_out, images};
use fewstep::diffusion_core::tensor_file;
use fewstep::diffusion_schedule::Edm;
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::observer::{Console, JsonLines, LossCurves, SampleGrid, TensorBoard};
use fewstep::distill_trainer::{Better, Manifest, Precision, Resume, settings};
use fewstep::libtorch_ext::distributed::World;
use fewstep::prelude::*;
use fewstep::unet::Architecture;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One of the two runs.
pub(super) struct Phase<'a> {
    entry: &'static MethodInfo,
    ingredients: Ingredients<'a>,
    options: toml::Table,
    run: &'a TrainConfig,
    pub(super) folder: &'static str,
    /// By which metric checkpoints are kept.
    pub(super) best: Option<(&'a str, Better)>,
}

pub(crate) struct Job {
    pub(crate) settings: Settings,
    pub(crate) action: Action,
    entry: &'static MethodInfo,
    pub(super) device: Device,
    pub(super) world: World,
    interrupt: Interrupt,
    pub(super) training: Arc<dyn ImageSource>,
    pub(super) held_out: Arc<dyn ImageSource>,
}

impl Job {
    pub(crate) fn new(mut layers: toml::Table, action: Action) -> Result<Self> {
        let tables = ["network", "teacher_run", "student_run", "options", "evaluation"];
        let mut tables: toml::Table =
            tables.iter().filter_map(|key| layers.remove_entry(*key)).collect();
        let mut flags: Flags = layers.try_into().context("in the settings")?;
        let entry = method(&flags.method)?;
        let world = World::from_env()?;
        let device = match device::parse(&flags.device)? {
            Device::Cuda(0) if !flags.device.contains(':') => Device::Cuda(world.local_rank()),
            given => given,
        };
        let color = if flags.grey { Color::Grey } else { Color::AsStored };
        let size = (flags.size > 0).then_some(flags.size);
        let data =
            datasets::open(&flags.data, &OpenOptions { size, color, ..OpenOptions::default() })?;
        let n_held_out = flags.evaluate.min(data.len() / 5);
        let network = take(&mut tables, "network", &small_network(&*data))?;
        let run = |name: &str, kimg: f64| -> Result<TrainConfig> {
            let entry = method(name)?;
            let roles = match flags.recipe.as_str() {
                "short" => (entry.short_run)(),
                "published" => (entry.published)(),
                other => anyhow::bail!("recipe `{other}` is neither `short` nor `published`"),
            };
            let precision: Precision =
                toml::Value::from(flags.precision.clone()).try_into().with_context(|| {
                    format!("precision `{}` is none of `auto`, `f32`, `bf16`", flags.precision)
                })?;
            let tick_kimg = (kimg / 20.0).max(0.1);
            let checkpoint_kimg = (kimg / 4.0).max(0.1);
            let (batch, seed) = (flags.batch, flags.seed);
            let fixed = TrainConfig {
                batch,
                kimg,
                seed,
                tick_kimg,
                checkpoint_kimg,
                precision,
                roles,
                ..TrainConfig::default()
            };
            fixed.validate()?;
            Ok(fixed)
        };
        let teacher_run = take(&mut tables, "teacher_run", &run("teacher", flags.teacher_kimg)?)?;
        let evaluation = take(&mut tables, "evaluation", &EvaluationSettings::default())?;
        evaluation.check()?;
        let mut student_run = run(&flags.method, flags.kimg)?;
        if !evaluation.keep_best.is_empty() {
            student_run.checkpoint_kimg = evaluation.every_kimg; // what was measured can be kept
        }
        let student_run = take(&mut tables, "student_run", &student_run)?;
        let mut options = (entry.options)();
        if flags.schedule_kimg <= 0.0 {
            let begun_with = begun_with(&flags.out, &action.resume)?;
            flags.schedule_kimg = begun_with.unwrap_or(student_run.kimg);
        }
        if flags.recipe == "short" {
            let kimg = flags.schedule_kimg;
            let steps = TrainConfig { kimg, ..student_run.clone() }.total_images();
            let steps = steps / student_run.batch as u64;
            settings::merge(&mut options, (entry.short_options)(kimg, steps));
        }
        let options = take(&mut tables, "options", &options)?;
        let (training, held_out) = hold_out(data, n_held_out)?;
        let settings = Settings { flags, network, teacher_run, student_run, options, evaluation };
        let interrupt = Interrupt::on_signals()?;
        Ok(Self { settings, action, entry, device, world, interrupt, training, held_out })
    }

    pub(crate) fn distill(&self) -> Result<()> {
        if self.action.dry_run {
            return self.say_what_it_takes();
        }
        if self.world.is_first() {
            self.create_folder()?;
        }
        self.world.barrier()?;
        let watch = self.watch()?; // what cannot be measured is found out before the training
        let keep_by = self.settings.evaluation.keep_best.as_str();
        let (teacher, model) = match self.finished_teacher()? {
            Some(finished) => finished,
            None => {
                let (fresh, model) = self.fresh_teacher()?;
                self.run(&self.teacher_phase(&fresh)?, &model, None)?
            }
        };
        let mut phase = self.student_phase(&teacher);
        phase.best = watch.as_ref().and_then(|watch| watch.best.map(|better| (keep_by, better)));
        let (student, model) = self.run(&phase, &model, watch)?;
        if self.world.is_first() { self.compare(&teacher, &student, &model) } else { Ok(()) }
    }

    fn create_folder(&self) -> Result<()> {
        let out = &self.settings.flags.out;
        ensure!(
            self.action.resume != Resume::Never || !out.join("settings.toml").exists(),
            "{} already holds a run: pass --resume to go on with it, or another --out",
            out.display()
        );
        std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
        Ok(())
    }

    /// The plans of both runs; that of the student is made with an untrained teacher if there is no other.
    fn say_what_it_takes(&self) -> Result<()> {
        let teacher = match self.finished_teacher()? {
            Some((teacher, _)) => teacher,
            None => {
                let (fresh, _) = self.fresh_teacher()?;
                let phase = self.teacher_phase(&fresh)?;
                self.plan(&mut self.trainer(&phase)?, &mut self.data(&phase)?)?;
                fresh
            }
        };
        let phase = self.student_phase(&teacher);
        self.plan(&mut self.trainer(&phase)?, &mut self.data(&phase)?)
    }

    fn plan(&self, trainer: &mut Trainer<Box<dyn Distiller>>, data: &mut Loader) -> Result<()> {
        let plan = trainer.plan(data)?;
        if self.world.is_first() {
            println!("{plan}");
        }
        Ok(plan.check()?)
    }

    /// What measures the student while it learns, and what it says of real images.
    fn watch(&self) -> Result<Option<Watch>> {
        let Settings { evaluation, flags, .. } = &self.settings;
        if evaluation.every_kimg <= 0.0 {
            return Ok(None);
        }
        let n = self.held_out.len();
        let (reference, real) = (images(&*self.held_out, 0..n)?, images(&*self.training, 0..n)?);
        let watch = Watch::new(evaluation, &reference, &real, flags.batch as i64, self.device)?;
        if self.world.is_first() {
            println!("{n} training images: {}", watch.floor);
        }
        Ok(Some(watch))
    }

    /// A saved teacher: the one that was named, or the one that this run has trained already.
    fn finished_teacher(&self) -> Result<Option<(Network, ModelConfig)>> {
        let Settings { flags, network, .. } = &self.settings;
        let path = match flags.teacher.as_str() {
            "train" => flags.out.join("teacher/model.safetensors"),
            path => PathBuf::from(path),
        };
        if flags.teacher == "train" && !path.exists() {
            return Ok(None);
        }
        let (teacher, model) = unet::load(&path, self.device)?;
        let of_teacher = &model.architecture;
        ensure!(
            !of_teacher.needs_text(),
            "{} needs a text, which pictures have not",
            path.display()
        );
        let facts = |a: &Architecture| (a.image_channels(), a.image_size(), a.classes());
        let (found, needed) = (facts(of_teacher), facts(&Architecture::SongUnet(network.clone())));
        ensure!(
            found == needed,
            "the teacher's (channels, resolution, classes) {found:?} are not the data's {needed:?}; see --size and --grey"
        );
        teacher.recompute(flags.recompute);
        Ok(Some((teacher, model)))
    }

    fn fresh_teacher(&self) -> Result<(Network, ModelConfig)> {
        let Settings { flags, network, .. } = &self.settings;
        let architecture = Architecture::SongUnet(network.clone());
        let preconditioning = Preconditioning::Edm(Edm::default());
        let model = ModelConfig { architecture, preconditioning, sampler: None };
        let mut noise = Noise::new(flags.seed).stream("weights").on(self.device);
        let fresh = model.build(&mut noise, self.device)?;
        fresh.recompute(flags.recompute);
        Ok((fresh, model))
    }

    fn teacher_phase<'a>(&'a self, fresh: &'a Network) -> Result<Phase<'a>> {
        let (entry, run) = (method("teacher")?, &self.settings.teacher_run);
        let (ingredients, options) = (Ingredients::train(fresh), (entry.options)());
        Ok(Phase { entry, ingredients, options, run, folder: "teacher", best: None })
    }

    fn student_phase<'a>(&'a self, teacher: &'a Network) -> Phase<'a> {
        let Settings { student_run: run, options, .. } = &self.settings;
        let (ingredients, options) = (Ingredients::distill(teacher), options.clone());
        Phase { entry: self.entry, ingredients, options, run, folder: "student", best: None }
    }

    fn trainer(&self, phase: &Phase<'_>) -> Result<Trainer<Box<dyn Distiller>>> {
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

    fn data(&self, phase: &Phase<'_>) -> Result<Loader> {
        let loader = Loader::new(self.training.clone(), phase.run.seed)?;
        Ok(loader.with_flip(self.settings.flags.flip))
    }

    /// Runs a phase to its end and saves the averaged student.
    fn run(
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

/// What the schedules of the run in `out` were made for, if it is to go on.
fn begun_with(out: &Path, resume: &Resume) -> Result<Option<f64>> {
    let path = out.join("settings.toml");
    if *resume == Resume::Never || !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let settings: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    Ok(settings.get("schedule_kimg").and_then(toml::Value::as_float))
}
