//! Image data sets as resumable batches: CIFAR-10, EDM zip, MNIST, image folders, NumPy archives, built-in procedural pictures.
//!
//! A data set is an [`ImageSource`]: a number of images of one shape, each reachable by its index, with a class label or
//! without. [`open`] makes one from a path and finds out the format itself; [`Shapes`] needs no path at all. Sources
//! wrap sources: [`Resized`] brings images to one size, [`Subset`] chooses some (and [`hold_out`] sets some aside for
//! evaluation), [`InMemory`] decodes all of them once.
//!
//! A [`Loader`] turns a source into what a trainer wants: an endless, shuffled sequence of batches
//! ([`BatchSource`](diffusion_core::BatchSource)). A thread of its own reads ahead, so that the training thread never
//! waits for a decoder. The place in the sequence is a handful of integers, and continuing from them gives the very same
//! images: order and flips are drawn from the seed and the number of the epoch, not from what happened before.
//!
//! An evaluation sees each image once, as it is stored: [`InOrder`] decodes them in several threads.
//!
//! ```
//! use datasets::{Loader, OpenOptions, hold_out, images, open};
//! use diffusion_core::BatchSource;
//!
//! let pictures = open("shapes", &OpenOptions { size: Some(16), ..Default::default() })?;
//! let (train, held_out) = hold_out(pictures, 1000)?;
//!
//! let mut loader = Loader::new(train, 42)?;
//! let batch = loader.next_batch(64)?; // what a network is trained on
//! assert_eq!(batch.images.size(), [64, 3, 16, 16]);
//!
//! let real = images(&*held_out, 0..1000)?; // what its samples are compared with
//! assert_eq!(real.cond.labels.unwrap().size(), [1000, 12]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Files from outside are not trusted. Sizes are bounded before memory is taken, archives and compressed files are
//! unpacked no further than needed, and an [`Error`] names the file or the image, says what is wrong with it, and what
//! to do. What can be checked is checked when a data set is opened, not in the middle of a run.
//!
//! To add a format, implement [`ImageSource`], or write a function that fills an [`InMemory`], and add a line to `open.rs`.
#![forbid(unsafe_code)]

mod assemble;
pub mod cifar10;
mod class_folder;
mod container;
mod dataset_json;
mod error;
mod image;
mod image_files;
mod in_memory;
mod in_order;
mod loader;
pub mod mnist;
mod npz;
mod open;
mod order;
mod prefetch;
mod resized;
mod shapes;
mod source;
mod subset;

pub use assemble::images;
pub use error::{Error, Result};
pub use image::Image;
pub use image_files::ImageFiles;
pub use in_memory::InMemory;
pub use in_order::InOrder;
pub use loader::Loader;
pub use npz::{ArrayProblem, NpzImages};
pub use open::{OpenOptions, Split, open};
pub use resized::{Color, Resized};
pub use shapes::Shapes;
pub use source::{ImageSource, Info};
pub use subset::{Subset, hold_out};
