"""Read recordings frame by frame: arrays, videos, folders of images, ultrasound."""
