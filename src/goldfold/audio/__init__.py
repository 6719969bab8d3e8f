"""Sound: audio files, waveforms at one sample rate, windows of them, log-mel spectrograms and their augmentation."""
