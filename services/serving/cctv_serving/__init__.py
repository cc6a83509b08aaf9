"""TensorFlow Serving's REST and gRPC interface over TensorFlow itself, and the model that it serves by default."""
