"""What a network starts from: where timm finds it, weights of a file, folders and packages of towers."""
