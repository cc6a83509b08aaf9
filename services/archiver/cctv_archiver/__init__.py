"""Keeps the pictures of detections in the image store, each exactly once, and removes old ones."""
