//! Whether all processes hold the same.

use super::DataParallel;
use crate::{Error, Result};
use crc32fast::Hasher;
use diffusion_core::State;
use tch::{Kind, Tensor};

impl DataParallel {
    /// Compares a checksum of something that all processes must have alike.
    ///
    /// # Errors
    /// [`Error::ProcessesDiffer`], in every process, if one has another.
    pub(crate) fn agree(&self, what: &'static str, checksum: u32) -> Result<()> {
        if self.is_alone() {
            return Ok(());
        }
        let gathered = self.world.all_gather(&Tensor::from_slice(&[i64::from(checksum)]))?;
        let checksums: Vec<u64> = gathered.iter().flat_map(numbers).collect();
        if checksums.iter().any(|&other| other != checksums[0]) {
            return Err(Error::ProcessesDiffer { what, checksums });
        }
        Ok(())
    }
}

/// The integers of a tensor, as unsigned ones.
pub(super) fn numbers(tensor: &Tensor) -> Vec<u64> {
    let signed: Vec<i64> = Vec::try_from(tensor).expect("the tensor holds integers");
    signed.into_iter().map(i64::cast_unsigned).collect()
}

/// The checksum of states: names, shapes, values.
pub(super) fn checksum<'a>(states: impl IntoIterator<Item = &'a State>) -> u32 {
    let mut hasher = Hasher::new();
    for state in states {
        for (name, tensor) in &state.tensors {
            add_shape(&mut hasher, name, tensor);
            hasher.update(&bytes(tensor));
        }
        for (name, value) in &state.values {
            hasher.update(format!("{name}={value};").as_bytes());
        }
    }
    hasher.finalize()
}

/// Takes in what a tensor is, without its values.
pub(super) fn add_shape(hasher: &mut Hasher, name: &str, tensor: &Tensor) {
    hasher.update(format!("{name}:{:?}:{:?};", tensor.kind(), tensor.size()).as_bytes());
}

fn bytes(tensor: &Tensor) -> Vec<u8> {
    let flat = tensor.detach().to_device(tch::Device::Cpu).contiguous().view([-1]);
    Vec::try_from(flat.view_dtype(Kind::Uint8)).expect("the tensor holds bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(name: &str, values: &[f32], count: u64) -> State {
        let mut state = State::default();
        state.tensors.insert(name.into(), Tensor::from_slice(values));
        state.tensors.insert("scalar".into(), Tensor::from(1f32));
        state.tensors.insert("empty".into(), Tensor::from_slice(&[0f32; 0]));
        state.set("count", count);
        state
    }

    #[test]
    fn the_checksum_sees_the_last_bit_the_name_and_the_value() {
        let one = checksum([&state("w", &[1.0, 2.0], 3)]);
        assert_eq!(one, checksum([&state("w", &[1.0, 2.0], 3)]));
        let next = f32::from_bits(2f32.to_bits() + 1);
        for other in
            [state("w", &[1.0, next], 3), state("v", &[1.0, 2.0], 3), state("w", &[1.0, 2.0], 4)]
        {
            assert_ne!(one, checksum([&other]));
        }
    }
}
