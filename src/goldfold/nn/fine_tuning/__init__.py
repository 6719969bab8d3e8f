"""What a network starts from: where timm finds it, weights of a file, text towers of packages."""
