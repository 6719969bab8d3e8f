"""What recipes that classify share: types of parameters, samples of images, optimizers."""
