"""Send runs to experiment trackers: TensorBoard, Weights & Biases, MLflow."""
