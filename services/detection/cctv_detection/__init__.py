"""Finds objects and faces in selected frames, by Spark."""
