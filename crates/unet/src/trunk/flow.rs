//! What goes through the layers.

use tch::Tensor;

/// An image on its way through encoder and decoder.
#[derive(Debug)]
pub(crate) struct Flow {
    /// The blocks' features.
    pub(crate) x: Tensor,
    /// The branch beside them: from the image down through the encoder; from the coarsest level up to the answer in the
    /// decoder.
    pub(crate) branch: Option<Tensor>,
    /// The encoder's features that the decoder has not taken yet.
    skips: Vec<Tensor>,
    encodes: bool,
}

impl Flow {
    /// An image before the first layer of the encoder.
    pub(super) fn of(image: Tensor) -> Self {
        let branch = Some(image.shallow_clone());
        Self { x: image, branch, skips: Vec::new(), encodes: true }
    }

    /// The same before the first layer of the decoder, whose branch begins anew.
    pub(super) fn turn(&mut self) {
        self.branch = None;
        self.encodes = false;
    }

    /// The branch, where the layout has one.
    pub(super) fn branch(&self) -> &Tensor {
        self.branch.as_ref().expect("the layers of the decoder's branch begin with an image")
    }

    /// Goes on with new features, which the encoder keeps for the decoder.
    pub(super) fn advance(&mut self, x: Tensor) {
        self.x = x;
        if self.encodes {
            self.skips.push(self.x.shallow_clone());
        }
    }

    /// Goes on with other features, for the decoder, too.
    pub(super) fn replace(&mut self, x: Tensor) {
        self.skips.pop();
        self.advance(x);
    }

    /// Puts the last features of the encoder that are left beside the decoder's.
    pub(super) fn concatenate_skip(&mut self) {
        let skip = self.skips.pop().expect("as many encoder layers as blocks that take a skip");
        self.x = Tensor::cat(&[&self.x, &skip], 1);
    }

    pub(super) fn add_to_branch(&mut self, image: Tensor) {
        self.branch = Some(match self.branch.take() {
            Some(branch) => branch + image,
            None => image,
        });
    }
}
