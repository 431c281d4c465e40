//! Image data sets as resumable batches: CIFAR-10, EDM zip, MNIST, image folders, built-in procedural pictures.
