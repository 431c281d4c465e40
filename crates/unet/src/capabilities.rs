//! What denoising networks can do in the same way.

/// [`FeatureTaps`](diffusion_core::FeatureTaps) and [`AttentionTaps`](diffusion_core::AttentionTaps) of a network with
/// a method `evaluate` and the fields `feature_sites`, `attention_sites` and `recomputes`. The text says which places
/// there are.
macro_rules! taps {
    ($network:ident, $places:literal) => {
        impl diffusion_core::FeatureTaps for $network {
            #[doc = $places]
            fn feature_sites(&self) -> &[diffusion_core::FeatureSite] {
                &self.feature_sites
            }

            fn forward_tapped(
                &self,
                x: &tch::Tensor,
                c_noise: &tch::Tensor,
                cond: &diffusion_core::Cond,
                dropout: Option<&mut diffusion_core::Noise>,
                tap: &mut diffusion_core::FeatureTap<'_>,
            ) -> Option<tch::Tensor> {
                let pass = crate::blocks::Pass::new(dropout).recomputing(self.recomputes.get());
                self.evaluate(x, c_noise, cond, &mut pass.showing(tap)).continue_value()
            }
        }

        impl diffusion_core::AttentionTaps for $network {
            fn attention_sites(&self) -> &[diffusion_core::AttentionSite] {
                &self.attention_sites
            }

            fn forward_attending(
                &self,
                x: &tch::Tensor,
                c_noise: &tch::Tensor,
                cond: &diffusion_core::Cond,
                dropout: Option<&mut diffusion_core::Noise>,
                tap: &mut dyn diffusion_core::AttentionTap,
            ) -> tch::Tensor {
                let mut pass = crate::blocks::Pass::new(dropout).attending(tap);
                crate::blocks::unbroken(self.evaluate(x, c_noise, cond, &mut pass))
            }
        }
    };
}

/// `copy`, a twin of its own type, of a network with a constructor `zeroed` and the fields `config`, `parameters` and
/// `recomputes`.
macro_rules! copied {
    ($network:ident) => {
        impl $network {
            fn copy(&self) -> Self {
                let twin = Self::zeroed(&self.config, self.parameters.device());
                let twin = twin.expect("this network was built with the same configuration");
                twin.recomputes.set(self.recomputes.get());
                let copied = twin.parameters.copy_from(&self.parameters);
                copied.expect("both networks have the same tensors");
                twin
            }
        }
    };
}

/// [`Embedded`](crate::Embedded) of a network with methods `evaluate`, `copy` and `embedding_channels`.
macro_rules! embedded {
    ($network:ident) => {
        impl crate::Embedded for $network {
            fn embedding_width(&self) -> i64 {
                self.embedding_channels()
            }

            fn forward_shifted(
                &self,
                x: &tch::Tensor,
                c_noise: &tch::Tensor,
                shift: &tch::Tensor,
                cond: &diffusion_core::Cond,
                dropout: Option<&mut diffusion_core::Noise>,
            ) -> tch::Tensor {
                let pass = crate::blocks::Pass::new(dropout).recomputing(self.recomputes.get());
                let answer = self.evaluate(x, c_noise, cond, &mut pass.shifting(shift));
                crate::blocks::unbroken(answer)
            }

            fn embedded_twin(&self) -> Box<dyn crate::Embedded> {
                Box::new(self.copy())
            }
        }
    };
}

pub(crate) use {copied, embedded, taps};
