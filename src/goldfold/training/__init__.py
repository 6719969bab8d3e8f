"""Training one fit: the loop, its state, checkpoints, losses and epoch selection."""
