//! CLIP's text tower.

use super::names::{Tower, read_tower};
use super::transformer::{EPSILON, Transformer};
use super::{ClipTransformerConfig, recognize};
use crate::blocks::{LayerNorm, Sight};
use crate::tensors::Tensors;
use crate::{ClipActivation, Error, Result};
use diffusion_core::Parameters;
use std::path::Path;
use tch::{Device, Kind, Tensor};

/// What makes a [`ClipText`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClipTextConfig {
    /// Tokens of a text, padding included.
    pub context: i64,
    /// Number of different tokens.
    pub vocabulary: i64,
    /// Entries of an embedding.
    pub embedding: i64,
    /// Sizes of the transformer.
    pub transformer: ClipTransformerConfig,
}

impl ClipTextConfig {
    /// The text tower that a file holds, from the shapes of its tensors.
    ///
    /// # Errors
    /// As [`ClipImageConfig::of_file`](crate::ClipImageConfig::of_file).
    pub fn of_file(path: &Path, activation: ClipActivation) -> Result<Self> {
        recognize::text(path, activation)
    }
}

/// The text tower of CLIP: a transformer in which a token sees those before it, and whose end-of-text token becomes an
/// embedding.
///
/// Its tensors have the names of `OpenAI`'s and `OpenCLIP`'s state dicts. Files with the names of transformers' `CLIPModel`
/// and `CLIPTextModelWithProjection` are read as well; the image tower of a file may be missing.
///
/// # Gradient
/// None: tokens are integers, and the weights are frozen.
///
/// # Source
/// Radford et al. 2021, arXiv:2103.00020; Cherti et al. 2023, arXiv:2212.07143 (`OpenCLIP`).
///
/// # Example
/// ```
/// use backbones::{ClipModel, ClipText, ClipTokenizer};
/// let mut config = ClipModel::OPENAI_VIT_B32.text;
/// config.transformer.layers = 1;
/// let tower = ClipText::zeroed(&config, tch::Device::Cpu);
/// let tokens = ClipTokenizer::new().tokenize(&["a cat", "a dog on a sofa"])?;
/// assert_eq!(tower.forward(&tokens)?.embedding.size(), [2, 512]);
/// # Ok::<(), backbones::Error>(())
/// ```
#[derive(Debug)]
pub struct ClipText {
    positional_embedding: Tensor,
    text_projection: Tensor,
    transformer: Transformer,
    token_embedding: Tensor,
    ln_final: LayerNorm,
    config: ClipTextConfig,
    parameters: Parameters,
}

/// What [`ClipText::forward`] finds.
#[derive(Debug)]
pub struct ClipTextFeatures {
    /// The projected end-of-text token, `[B, embedding]`, of any length: divide by it before embeddings are compared.
    pub embedding: Tensor,
    /// All tokens after the last normalization, `[B, context, width]`.
    pub tokens: Tensor,
}

impl ClipText {
    /// The tower with the weights of a file, whose shapes say what it is.
    ///
    /// # Errors
    /// As [`ClipTextConfig::of_file`] and [`crate::read_into`].
    pub fn open(path: &Path, activation: ClipActivation, device: Device) -> Result<Self> {
        Self::open_as(path, &ClipTextConfig::of_file(path, activation)?, device)
    }

    /// The tower of that configuration with the weights of a file.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open_as(path: &Path, config: &ClipTextConfig, device: Device) -> Result<Self> {
        let tower = Self::zeroed(config, device);
        let loaded = tower.parameters.load(read_tower(path, Tower::Text)?);
        loaded.map_err(|source| Error::Mismatch { path: path.into(), source })?;
        Ok(tower)
    }

    /// The tower with weights of zero.
    ///
    /// # Panics
    /// If `heads` is no divisor of `width`.
    pub fn zeroed(config: &ClipTextConfig, device: Device) -> Self {
        let ClipTextConfig { context, vocabulary, embedding, transformer } = *config;
        let width = transformer.width;
        let mut tensors = Tensors::new(device);
        let t = &mut tensors;
        Self {
            positional_embedding: t.add("positional_embedding", &[context, width]),
            text_projection: t.add("text_projection", &[width, embedding]),
            transformer: Transformer::new(t, "transformer", transformer, Sight::Before),
            token_embedding: t.add("token_embedding.weight", &[vocabulary, width]),
            ln_final: LayerNorm::new(t, "ln_final", width, EPSILON),
            config: *config,
            parameters: tensors.finish(),
        }
    }

    /// What it is made of.
    pub fn config(&self) -> &ClipTextConfig {
        &self.config
    }

    /// The named tensors, in the order of `OpenCLIP`.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// `tokens`: `[B, context]`, `i64`, as [`ClipTokenizer::tokenize`](crate::ClipTokenizer::tokenize) makes them. The
    /// end of a text is its largest token; what follows it does not matter.
    ///
    /// # Errors
    /// - [`Error::Context`] for another number of tokens or another kind, [`Error::NoTexts`] for none;
    /// - [`Error::Token`] for a token that is not in the vocabulary.
    pub fn forward(&self, tokens: &Tensor) -> Result<ClipTextFeatures> {
        self.check(tokens)?;
        let tokens = tokens.to_device(self.token_embedding.device());
        let embedded = Tensor::embedding(&self.token_embedding, &tokens, -1, false, false);
        let h = self.transformer.forward(embedded + &self.positional_embedding);
        let h = self.ln_final.forward(&h);
        let end = tokens.argmax(1, true).unsqueeze(-1).expand([-1, -1, h.size()[2]], false);
        let embedding = h.gather(1, &end, false).squeeze_dim(1).matmul(&self.text_projection);
        Ok(ClipTextFeatures { embedding, tokens: h })
    }

    fn check(&self, tokens: &Tensor) -> Result<()> {
        let (shape, kind) = (tokens.size(), tokens.kind());
        let ClipTextConfig { context, vocabulary, .. } = self.config;
        if shape.len() != 2 || shape[1] != context || kind != Kind::Int64 {
            return Err(Error::Context { shape, kind, context });
        }
        if shape[0] == 0 {
            return Err(Error::NoTexts);
        }
        let ends = [tokens.min(), tokens.max()].map(|token| token.int64_value(&[]));
        match ends.into_iter().find(|token| !(0..vocabulary).contains(token)) {
            Some(token) => Err(Error::Token { token, vocabulary }),
            None => Ok(()),
        }
    }
}
