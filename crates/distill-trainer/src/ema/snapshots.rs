//! Averages kept during a run, so that others can be made from them afterwards.

use super::{Ema, EmaConfig, PowerEma, PowerProfile, posthoc_coefficients};
use crate::{Error, Result};
use diffusion_core::{State, tensor_file};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

const SUFFIX: &str = ".safetensors";

/// A folder of power-function averages of one player at several moments of a run.
///
/// ```text
/// snapshots/000064000-0.05.safetensors     images seen, relative standard deviation
/// ```
///
/// Track two of them (0.05 and 0.1 are usual) in [`RoleConfig::more_emas`](crate::RoleConfig::more_emas), write them a
/// few dozen times in a run, and any deviation in between can be looked at afterwards without training again.
///
/// # Source
/// Karras et al. 2024, arXiv:2312.02696, section 3.2.
///
/// # Example
/// ```
/// use diffusion_core::Parameters;
/// use distill_trainer::{Ema, EmaConfig, EmaSnapshots, Progress};
/// use tch::{Device, Tensor};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path();
/// let mut params = Parameters::new(Device::Cpu);
/// let _ = params.trainable("w", Tensor::from(1f32));
/// let mut ema = Ema::new(EmaConfig::Power { std: 0.1 }, &params)?;
/// let snapshots = EmaSnapshots::create(path)?;
/// for step in 0..4 {
///     ema.update(Progress { step, images: step * 8 }, 8)?;
///     snapshots.write(&ema, (step + 1) * 8)?;
/// }
/// let blurred = snapshots.reconstruct(32, 0.15)?;
/// assert!((blurred.tensor("w")?.double_value(&[]) - 1.0).abs() < 1e-6); // the weight has not moved
/// # Ok::<(), distill_trainer::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EmaSnapshots {
    path: PathBuf,
}

impl EmaSnapshots {
    /// Snapshots in the folder `path`, which is created.
    ///
    /// # Errors
    /// [`Error::Folder`] if that fails.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        std::fs::create_dir_all(&path)
            .map_err(|source| Error::Folder { path: path.clone(), source })?;
        Ok(Self { path })
    }

    /// Saves an average after `images` images.
    ///
    /// # Errors
    /// [`Error::Config`] if it is no power-function average, or the file cannot be written.
    pub fn write(&self, ema: &Ema, images: u64) -> Result<()> {
        let EmaConfig::Power { std } = ema.config() else {
            let (field, value) = ("ema.kind".into(), format!("{:?}", ema.config()));
            let expected = "must be a power function: no other average can be combined afterwards";
            return Err(Error::Config { field, value, expected });
        };
        let path = self.path.join(format!("{images:09}-{std}{SUFFIX}"));
        let named: Vec<(&str, Tensor)> = ema.named().collect();
        let tensors = named.iter().map(|(name, average)| (*name, average));
        Ok(tensor_file::write(&path, tensors, &BTreeMap::new())?)
    }

    /// The snapshots in the folder, by time and deviation.
    ///
    /// # Errors
    /// If the folder cannot be read, or holds a safetensors file whose name is not that of a snapshot.
    pub fn list(&self) -> Result<Vec<(PathBuf, PowerProfile)>> {
        let io = |source| Error::Folder { path: self.path.clone(), source };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.path).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.to_string_lossy().ends_with(SUFFIX) {
                let profile = profile(&path).ok_or_else(|| {
                    unusable(&path, format!("its name is not IMAGES-STD{SUFFIX}"))
                })?;
                found.push((path, profile));
            }
        }
        let key = |profile: PowerProfile| (profile.images, profile.ema.std());
        found.sort_by(|a, b| key(a.1).partial_cmp(&key(b.1)).expect("deviations are numbers"));
        Ok(found)
    }

    /// Removes the snapshots taken after `images` images, which belong to a course that the run has left.
    ///
    /// # Errors
    /// If the folder cannot be read or a file cannot be removed.
    pub fn rewind(&self, images: u64) -> Result<()> {
        for (path, _) in self.list()?.into_iter().filter(|(_, profile)| profile.images > images) {
            std::fs::remove_file(&path).map_err(|source| Error::Folder { path, source })?;
        }
        Ok(())
    }

    /// The average of relative deviation `std` after `images` images, mixed from the snapshots up to then.
    ///
    /// Snapshots are read one at a time and summed in `f64`; see [`posthoc_coefficients`] for how well it can be done.
    ///
    /// # Errors
    /// [`Error::Config`] if there is no snapshot up to then or `std` is impossible; if a snapshot cannot be read or
    /// holds other tensors than the first one.
    pub fn reconstruct(&self, images: u64, std: f64) -> Result<State> {
        EmaConfig::Power { std }.validate("reconstruct")?;
        let mut snapshots = self.list()?;
        snapshots.retain(|(_, profile)| profile.images <= images);
        let profiles: Vec<PowerProfile> = snapshots.iter().map(|(_, profile)| *profile).collect();
        let target = PowerProfile { images, ema: PowerEma::from_std(std) };
        let factors = posthoc_coefficients(&profiles, &[target])?.remove(0);
        let mut sums: BTreeMap<String, Tensor> = BTreeMap::new();
        for (index, ((path, _), factor)) in snapshots.iter().zip(factors).enumerate() {
            for (name, tensor) in tensor_file::read(path)?.tensors {
                let scaled = tensor.to_kind(Kind::Double) * factor;
                match sums.get_mut(&name) {
                    Some(sum) if sum.size() == scaled.size() => *sum += scaled,
                    None if index == 0 => drop(sums.insert(name, scaled)),
                    _ => {
                        return Err(unusable(
                            path,
                            format!("tensor `{name}` is of another network"),
                        ));
                    }
                }
            }
        }
        let tensors = sums.into_iter().map(|(name, sum)| (name, sum.to_kind(Kind::Float)));
        Ok(State { tensors: tensors.collect(), ..State::default() })
    }
}

/// What a snapshot's name says.
fn profile(path: &Path) -> Option<PowerProfile> {
    let name = path.file_name()?.to_str()?.strip_suffix(SUFFIX)?;
    let (images, std) = name.split_once('-')?;
    let (images, std) = (images.parse().ok()?, std.parse().ok()?);
    EmaConfig::Power { std }.validate("std").ok()?;
    Some(PowerProfile { images, ema: PowerEma::from_std(std) })
}

fn unusable(path: &Path, reason: String) -> Error {
    Error::Checkpoint { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Progress;
    use diffusion_core::Parameters;
    use tch::Device;

    /// A run of weights that wander, with averages of three deviations, of which two are kept.
    #[test]
    fn a_deviation_that_was_not_kept_is_met() {
        const BATCH: usize = 10;
        let folder = tempfile::tempdir().unwrap();
        let snapshots = EmaSnapshots::create(folder.path().join("new")).unwrap();
        let mut params = Parameters::new(Device::Cpu);
        let mut w = params.trainable("w", Tensor::from_slice(&[0f32, 0.0]));
        let mut emas =
            [0.05, 0.1, 0.075].map(|std| Ema::new(EmaConfig::Power { std }, &params).unwrap());
        for step in 0..400_u64 {
            let t = step as f32 / 400.0;
            tch::no_grad(|| w.copy_(&Tensor::from_slice(&[t.sqrt(), (3.0 * t).sin()])));
            let progress = Progress { step, images: step * BATCH as u64 };
            Ema::update_all(&mut emas, progress, BATCH).unwrap();
            if (step + 1) % 20 == 0 {
                let images = (step + 1) * BATCH as u64;
                emas[..2].iter().for_each(|ema| snapshots.write(ema, images).unwrap());
            }
        }
        assert_eq!(snapshots.list().unwrap().len(), 40);
        let tracked = emas[2].state().tensors["w"].copy();
        let error = |made: &State| (&made.tensors["w"] - &tracked).abs().max().double_value(&[]);
        let made = snapshots.reconstruct(4000, 0.075).unwrap();
        assert!(error(&made) < 2e-4, "off by {}", error(&made));
        let neighbour = snapshots.reconstruct(4000, 0.1).unwrap();
        assert!(error(&neighbour) > 5e-3, "the test cannot tell deviations apart");

        snapshots.rewind(3000).unwrap();
        assert_eq!(snapshots.list().unwrap().last().unwrap().1.images, 3000);
    }

    #[test]
    fn what_cannot_be_mixed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = EmaSnapshots::create(folder.path()).unwrap();
        let mut params = Parameters::new(Device::Cpu);
        let _ = params.trainable("w", Tensor::from(0f32));
        let constant = Ema::new(EmaConfig::Constant { decay: 0.9 }, &params).unwrap();
        let message = snapshots.write(&constant, 10).unwrap_err().to_string();
        assert!(message.contains("power function"), "{message}");
        assert!(snapshots.reconstruct(10, 0.1).unwrap_err().to_string().contains("`snapshots`"));
        assert!(snapshots.reconstruct(10, 0.5).unwrap_err().to_string().contains("std"));

        let power = |params: &Parameters, std| Ema::new(EmaConfig::Power { std }, params).unwrap();
        snapshots.write(&power(&params, 0.1), 10).unwrap();
        let _ = params.trainable("v", Tensor::from(0f32));
        snapshots.write(&power(&params, 0.1), 20).unwrap();
        let message = snapshots.reconstruct(20, 0.1).unwrap_err().to_string();
        assert!(message.contains("000000020-0.1") && message.contains("`v`"), "{message}");
        std::fs::write(folder.path().join("other.safetensors"), b"").unwrap();
        assert!(snapshots.list().unwrap_err().to_string().contains("other.safetensors"));
    }
}
