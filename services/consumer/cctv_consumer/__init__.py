"""Reads camera frames, asks models what they show, imprints the answers and publishes the frames for display."""
