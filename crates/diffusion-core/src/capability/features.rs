//! Features inside a network.

use super::Part;
use crate::{Backbone, Cond, Error, Noise, Result};
use std::ops::ControlFlow;
use tch::Tensor;

/// A place where a network's features can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureSite {
    /// Official name of the layer whose output it is.
    pub name: String,
    /// The part of the network.
    pub part: Part,
}

/// Sees features in the order of evaluation; `Break` ends the evaluation there.
pub type FeatureTap<'t> = dyn FnMut(&FeatureSite, &Tensor) -> ControlFlow<()> + 't;

/// A network whose features can be seen, and which can stop once they were.
pub trait FeatureTaps: Backbone {
    /// Every place, in the order of evaluation.
    fn feature_sites(&self) -> &[FeatureSite];

    /// As [`Backbone::forward`], showing the output of every place to `tap`; `None` once `tap` broke off.
    ///
    /// # Shapes
    /// Features of the part [`Part::Embedding`] are `[B, width]`, all others `[B, channels, H, W]` of their level.
    ///
    /// # Gradient
    /// Features carry the graph of the evaluation; `detach` them where none is wanted.
    fn forward_tapped(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut FeatureTap<'_>,
    ) -> Option<Tensor>;

    /// The features of the places named, in the order of `names`, computing no more than they need.
    ///
    /// # Errors
    /// [`Error::UnknownSite`] for a name that no place has.
    fn features(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        names: &[&str],
    ) -> Result<Vec<Tensor>> {
        let sites = self.feature_sites();
        if let Some(name) = names.iter().find(|name| sites.iter().all(|site| site.name != **name)) {
            let known = sites.iter().map(|site| site.name.clone()).collect();
            return Err(Error::UnknownSite { name: (*name).into(), known });
        }
        let mut found: Vec<Option<Tensor>> = names.iter().map(|_| None).collect();
        let _ = self.forward_tapped(x, c_noise, cond, None, &mut |site, feature| {
            for (name, place) in names.iter().zip(&mut found) {
                if *name == site.name {
                    *place = Some(feature.shallow_clone());
                }
            }
            if found.iter().all(Option::is_some) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        Ok(found.into_iter().flatten().collect())
    }
}

impl<B: FeatureTaps + ?Sized> FeatureTaps for Box<B> {
    fn feature_sites(&self) -> &[FeatureSite] {
        (**self).feature_sites()
    }

    fn forward_tapped(
        &self,
        x: &Tensor,
        c_noise: &Tensor,
        cond: &Cond,
        dropout: Option<&mut Noise>,
        tap: &mut FeatureTap<'_>,
    ) -> Option<Tensor> {
        (**self).forward_tapped(x, c_noise, cond, dropout, tap)
    }
}
