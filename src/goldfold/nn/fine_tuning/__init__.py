"""What a network starts from: where timm finds it, and weights of a file."""
