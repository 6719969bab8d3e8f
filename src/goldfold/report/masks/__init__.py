"""Pictures of predicted masks: by class, against the truth, and at every saved epoch."""
