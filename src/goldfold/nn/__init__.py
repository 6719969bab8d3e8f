"""Neural network parts: pretrained backbones, the feature cache, batches, learning-rate schedules, collapse checks."""
