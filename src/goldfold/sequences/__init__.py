"""Recordings: arrays, video, image folders and ultrasound, read one frame at a time."""
