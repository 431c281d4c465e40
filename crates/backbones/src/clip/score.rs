//! How well images fit their texts, by CLIP.

use super::{ClipImage, ClipProtocol, ClipText, ClipTokenizer};
use crate::{Error, Result};
use metrics::{Direction, ImageShape, MetricInfo, clip_score};
use std::path::Path;
use tch::{Device, Tensor};

/// The CLIP score of a stream of images and their texts: the mean cosine between their embeddings, in `[-1, 1]`.
///
/// torchmetrics reports a hundred times this, and 0 for values below.
///
/// # Example
/// ```no_run
/// use backbones::{ClipProtocol, ClipScore};
/// let protocol = ClipProtocol::dmd2();
/// let file = protocol.model.file.in_cache()?; // an error says where to get it
/// let mut score = ClipScore::open(protocol, &file, tch::Device::cuda_if_available())?;
/// # let images = tch::Tensor::new();
/// score.update(&images, &["a cat on a sofa", "a red bus"])?; // as often as you like
/// println!("{:.4}: {}", score.value()?, score.info().recipe);
/// # Ok::<(), backbones::Error>(())
/// ```
#[derive(Debug)]
pub struct ClipScore {
    protocol: ClipProtocol,
    image: ClipImage,
    text: ClipText,
    tokenizer: ClipTokenizer,
    sum: f64,
    pairs: i64,
}

impl ClipScore {
    /// The score of a protocol with the weights in `file`, which may have any name and format.
    ///
    /// Published numbers are computed in full single precision: on a GPU, call
    /// `libtorch_ext::switches::set_tf32_convolutions(false)` first.
    ///
    /// # Errors
    /// As [`crate::read_into`].
    pub fn open(protocol: ClipProtocol, file: &Path, device: Device) -> Result<Self> {
        let image = ClipImage::open_as(file, &protocol.model.image, device)?;
        let text = ClipText::open_as(file, &protocol.model.text, device)?;
        Ok(Self::new(protocol, image, text))
    }

    /// The score with towers that are there already; they must be those that the protocol names.
    pub fn new(protocol: ClipProtocol, image: ClipImage, text: ClipText) -> Self {
        Self { protocol, image, text, tokenizer: ClipTokenizer::new(), sum: 0.0, pairs: 0 }
    }

    /// Takes in images and their texts, one each: `[B, C, S, S]`, one or three channels, floating point, in `[-1, 1]`.
    ///
    /// # Errors
    /// The score is then as it was.
    /// - [`Error::NoTexts`] without any text;
    /// - [`Error::Metric`] for unusable images, for another number of texts than images, and for embeddings that are not
    ///   finite;
    /// - [`Error::ImageSize`] and [`Error::Context`] if the towers are not those of the protocol.
    pub fn update(&mut self, images: &Tensor, texts: &[impl AsRef<str>]) -> Result<()> {
        ImageShape::of(images)?;
        self.update_bytes(&self.protocol.bytes.encode(images), texts)
    }

    /// The same with images that are bytes already.
    ///
    /// # Errors
    /// As [`ClipScore::update`].
    pub fn update_bytes(&mut self, bytes: &Tensor, texts: &[impl AsRef<str>]) -> Result<()> {
        let _no_grad = tch::no_grad_guard();
        let pixels = self.protocol.prepare(bytes)?;
        let [images, n_texts] = [pixels.size()[0], texts.len() as i64];
        let tokens = self.tokenizer.tokenize(&self.protocol.prefixed(texts))?;
        if images != n_texts {
            return Err(Error::Metric(metrics::Error::Pairs { images, texts: n_texts }));
        }
        let texts = self.text.forward(&tokens)?.embedding;
        let pixels = pixels.to_device(self.image.parameters().device());
        let mean = clip_score(&self.image.forward(&pixels)?.embedding, &texts)?;
        self.sum += mean * images as f64;
        self.pairs += images;
        Ok(())
    }

    /// The mean over all pairs taken in.
    ///
    /// # Errors
    /// [`Error::Metric`] without any.
    pub fn value(&self) -> Result<f64> {
        match self.pairs {
            0 => Err(Error::Metric(metrics::Error::TooFew { found: 0, needed: 1 })),
            pairs => Ok(self.sum / pairs as f64),
        }
    }

    /// Forgets the pairs taken in.
    pub fn reset(&mut self) {
        (self.sum, self.pairs) = (0.0, 0);
    }

    /// What the value is and how it is computed.
    pub fn info(&self) -> MetricInfo {
        let Self { protocol, pairs, .. } = self;
        MetricInfo {
            name: "CLIP score".into(),
            label: "CLIP".into(),
            unit: "cosine".into(),
            direction: Direction::HigherIsBetter,
            recipe: format!("{protocol}; mean cosine; f32 networks; {pairs} pairs"),
        }
    }
}
