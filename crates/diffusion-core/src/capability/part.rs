//! The parts of a network.

/// The part of a network that something belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// What makes a vector of noise level and conditions.
    Embedding,
    /// From the image to the coarsest level; in a network without levels, all blocks.
    Encoder,
    /// The blocks between encoder and decoder, which take no skip connection.
    Bottleneck,
    /// From the coarsest level back to the image.
    Decoder,
}
