"""The yardstick: read, predict, draw and encode in one process, without Kafka and without RPC.

``python -m benchmarks.plain_loop CLIP MODEL SECONDS`` prints how many frames a second it did. It uses the model, the
TensorFlow threads, the frame size, the JPEG quality and the drawing of the pipeline.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import cv2
import tensorflow as tf
from cctv_common.frames import Prediction
from cctv_consumer.imprint import draw
from cctv_consumer.labels import imagenet_labels

QUALITY = 80


def main() -> None:
    """Loop for the given time after a warm-up."""
    clip, folder, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    cv2.setNumThreads(1)
    model = tf.saved_model.load(folder)
    serve = model.signatures["serving_default"]
    names = imagenet_labels()
    video = cv2.VideoCapture(clip)
    frames, began = 0, 0.0
    end = time.monotonic() + 3
    while True:
        now = time.monotonic()
        if now >= end:
            if began:
                break
            frames, began, end = 0, now, now + seconds
        ok, picture = video.read()
        if not ok:
            video.set(cv2.CAP_PROP_POS_FRAMES, 0)
            continue
        __, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        answer = serve(image_bytes=tf.constant([jpeg.tobytes()]))
        best = int(answer["classes"][0])
        draw(picture, [Prediction("imagenet", names[best], float(answer["probabilities"][0, best]))])
        cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        frames += 1
    print(frames / (time.monotonic() - began))


if __name__ == "__main__":
    main()
