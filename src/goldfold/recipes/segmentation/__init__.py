"""Parts of the recipe `segmenter`: its parameters, network, truth at the network's size, and training samples."""
