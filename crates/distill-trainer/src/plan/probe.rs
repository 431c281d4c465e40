//! What one step takes, measured on a few images before the first one.

use super::room::Meter;
use crate::{DistillMethod, Result, Trainer, Turn};
use diffusion_core::{Batch, BatchSource, Noise};

/// The larger one of the two numbers of images that are measured; the other is a quarter of it.
const IMAGES: usize = 8;

/// Bytes that the largest turn takes beyond what was there before: a straight line through two measurements.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TurnMemory {
    /// Bytes for an empty batch: gradients, mostly.
    pub fixed: f64,
    /// Bytes for each image.
    pub per_image: f64,
}

impl TurnMemory {
    /// The line through two points of images and bytes.
    fn through([(n0, bytes0), (n1, bytes1)]: [(usize, f64); 2]) -> Self {
        if n0 == n1 {
            return Self { fixed: 0.0, per_image: bytes1.max(0.0) / n1 as f64 };
        }
        let per_image = ((bytes1 - bytes0) / (n1 - n0) as f64).max(0.0);
        Self { fixed: (bytes1 - per_image * n1 as f64).max(0.0), per_image }
    }

    /// Bytes for a batch.
    pub fn at(self, images: usize) -> u64 {
        (self.fixed + self.per_image * images as f64) as u64
    }

    /// The largest batch for which so many bytes are enough.
    pub fn batch_within(self, bytes: u64) -> usize {
        ((bytes as f64 - self.fixed) / self.per_image.max(1.0)).max(0.0) as usize
    }
}

impl<M: DistillMethod> Trainer<M> {
    /// Measures every turn of the next step on 2 and 8 images; `None` where memory cannot be measured. The run's noise,
    /// weights and place in the data stay as they are.
    pub(super) fn probe(&mut self, source: &mut dyn BatchSource) -> Result<Option<TurnMemory>> {
        let Some(meter) = Meter::new(self.device) else { return Ok(None) };
        let part = self.images_at_once();
        let large = part.min(IMAGES);
        let place = source.state();
        let batch = source.next_batch(large);
        source.restore(&place)?;
        let batch = batch?.to_device(self.device);
        let mut first = None;
        let mut largest: Option<TurnMemory> = None;
        for turn in self.method.turns(self.progress) {
            let mut points = [((large / 4).max(1), 0.0), (large, 0.0)];
            for (images, bytes) in &mut points {
                let part = batch.narrow(0, *images as i64);
                let Some([before, peak]) = meter.watch(|| self.try_turn(&turn, &part))? else {
                    return Ok(None);
                };
                *bytes = (peak - *first.get_or_insert(before)) as f64;
            }
            let turn = TurnMemory::through(points);
            largest = largest.into_iter().chain([turn]).max_by_key(|turn| turn.at(part));
        }
        Ok(largest)
    }

    /// Differentiates a turn's objective and forgets the gradients.
    fn try_turn(&mut self, turn: &Turn, batch: &Batch) -> Result<()> {
        let noise = Noise::new(self.config.seed).stream("plan").on(self.device);
        let noise = std::mem::replace(&mut self.noise, noise);
        let result = self.gradients(turn, batch);
        self.noise = noise;
        result.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_measurements_give_a_line() {
        let line = TurnMemory::through([(1, 130.0), (4, 220.0)]);
        assert_eq!(line, TurnMemory { fixed: 100.0, per_image: 30.0 });
        assert_eq!(
            (line.at(64), line.batch_within(2_019), line.batch_within(2_020)),
            (2_020, 63, 64)
        );
        assert_eq!(line.batch_within(50), 0);
        assert_eq!(TurnMemory::through([(1, 7.0), (1, 9.0)]).at(1), 9);
        assert_eq!(TurnMemory::through([(1, 50.0), (4, 40.0)]).at(99), 40, "noise is no slope");
    }
}
