//! The noise levels that official files of a preconditioning hold beside the network's tensors.

use crate::{Error, Result};
use diffusion_schedule::{IDdpm, Preconditioning};
use tch::{Kind, Tensor};

/// The official name.
const NAME: &str = "u";
/// How far a level may be from the computed one, relative to it: twice as far as the official single-precision ones are.
const TOLERANCE: f64 = 1e-3;

/// Takes the table `u` of [`IDdpm`] out of `tensors`, if there is one.
///
/// It is no tensor of the network, and its values follow from the preconditioning, so it is compared and dropped.
///
/// # Errors
/// [`Error::OtherLevels`] if the preconditioning computes other levels: the network was trained with another schedule.
pub(crate) fn take_out(
    tensors: &mut Vec<(String, Tensor)>,
    preconditioning: &Preconditioning,
) -> Result<()> {
    let Preconditioning::IDdpm(iddpm) = preconditioning else { return Ok(()) };
    let Some(place) = tensors.iter().position(|(name, _)| name == NAME) else { return Ok(()) };
    let (_, found) = tensors.remove(place);
    if agree(&found, iddpm) { Ok(()) } else { Err(Error::OtherLevels { m: iddpm.m }) }
}

fn agree(found: &Tensor, iddpm: &IDdpm) -> bool {
    let expected = Tensor::from_slice(&iddpm.u());
    found.size() == expected.size()
        && ((found.to_kind(Kind::Double) - &expected).abs() - expected * TOLERANCE)
            .le(0.0)
            .all()
            .int64_value(&[])
            == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(table: &[f64], preconditioning: Preconditioning) -> Result<Vec<String>> {
        let table = Tensor::from_slice(table).to_kind(Kind::Float);
        let mut tensors = vec![("w".to_owned(), Tensor::from(1f32)), ("u".to_owned(), table)];
        take_out(&mut tensors, &preconditioning)?;
        Ok(tensors.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn only_the_preconditionings_own_levels_are_taken_out() {
        let iddpm = IDdpm::default();
        let scaled = |factor: f64| iddpm.u().iter().map(|u| u * factor).collect::<Vec<_>>();
        let take = |table: &[f64]| taken(table, Preconditioning::IDdpm(iddpm));
        assert_eq!(take(&scaled(1.0)).unwrap(), ["w"]);
        assert_eq!(take(&scaled(1.0 - 5e-4)).unwrap(), ["w"]);
        for wrong in [&scaled(1.01)[..], &iddpm.u()[1..], &[f64::NAN; 1001]] {
            let error = take(wrong).unwrap_err();
            assert!(matches!(error, Error::OtherLevels { m: 1000 }), "{error}");
        }
        assert_eq!(taken(&scaled(1.0), Preconditioning::default()).unwrap(), ["w", "u"]);
    }
}
