"""The yardstick of the model server: the SavedModel in this process, asked about batch after batch.

``python -m benchmarks.saved_model MODEL PICTURES BATCH SECONDS`` prints pictures a second and CPU seconds a picture.
PICTURES is a folder of JPEG files. TensorFlow has one thread, as in the server that is measured beside it.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf


def main() -> None:
    """Loop for the given time after a warm-up."""
    folder, pictures, batch, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    model = tf.saved_model.load(folder)
    serve = model.signatures["serving_default"]
    images = [path.read_bytes() for path in sorted(pictures.iterdir())]
    for __ in range(3):
        serve(image_bytes=tf.constant(images[:batch]))
    asked, began, used = 0, time.monotonic(), time.process_time()
    while time.monotonic() - began < seconds:
        at = asked % (len(images) - batch + 1)
        answer = serve(image_bytes=tf.constant(images[at : at + batch]))
        for tensor in answer.values():
            tensor.numpy()
        asked += batch
    print(asked / (time.monotonic() - began), (time.process_time() - used) / asked)


if __name__ == "__main__":
    main()
