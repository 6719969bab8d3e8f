"""Neural network parts: pretrained backbones, feature cache, batches, learning-rate schedules, collapse detection."""
