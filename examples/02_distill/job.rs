//! What is to be done, from the teacher to the comparison.

use super::evaluation::Watch;
use super::settings::{Action, Settings, split};
use anyhow::{Context, Result, ensure};
use fewstep::datasets::{self, Color, ImageSource, Loader, OpenOptions, hold_out, images};
use fewstep::diffusion_schedule::Edm;
use fewstep::distill_losses::MethodInfo;
use fewstep::distill_trainer::Resume;
use fewstep::libtorch_ext::distributed::World;
use fewstep::prelude::*;
use fewstep::unet::Architecture;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) struct Job {
    pub(crate) settings: Settings,
    pub(crate) action: Action,
    pub(super) entry: &'static MethodInfo,
    pub(super) device: Device,
    pub(super) world: World,
    pub(super) interrupt: Interrupt,
    pub(super) training: Arc<dyn ImageSource>,
    pub(super) held_out: Arc<dyn ImageSource>,
}

impl Job {
    pub(crate) fn new(layers: toml::Table, action: Action) -> Result<Self> {
        let (flags, tables) = split(layers)?;
        let entry = method(&flags.method)?;
        let world = World::from_env()?;
        let device = match device::parse(&flags.device)? {
            Device::Cuda(0) if !flags.device.contains(':') => Device::Cuda(world.local_rank()),
            given => given,
        };
        let color = if flags.grey { Color::Grey } else { Color::AsStored };
        let size = (flags.size > 0).then_some(flags.size);
        let options = OpenOptions { size, color, ..OpenOptions::default() };
        let data = datasets::open(&flags.data, &options)?;
        let n_held_out = flags.evaluate.min(data.len() / 5);
        let settings = Settings::new(flags, tables, &*data, &action.resume)?;
        let (training, held_out) = hold_out(data, n_held_out)?;
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

    pub(super) fn plan(
        &self,
        trainer: &mut Trainer<Box<dyn Distiller>>,
        data: &mut Loader,
    ) -> Result<()> {
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
}
