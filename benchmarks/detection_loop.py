"""The yardstick: decode, detect, draw and encode in one process, without Kafka and without Spark.

``python -m benchmarks.detection_loop MODELS CLIP FRAMES`` says "ready", waits for a line, and says as JSON when it
began and ended and what CPU time it took. All that is done to a frame is the detection service's own code.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from pathlib import Path

from cctv_common.frames import Frame
from cctv_common.jpeg import dimensions
from cctv_detection.detectors import load
from cctv_detection.process import FrameDetector
from cctv_detection.select import Camera, Cameras

from benchmarks.clips import jpegs

WARM_UP = 10


def main() -> None:
    """Work a clip off."""
    models, clip, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    objects = load("centernet", models)
    assert objects is not None
    detector = FrameDetector(objects, load("blazeface", models), Cameras(Camera(every=1)))
    frames = [
        Frame("bench-0", 0, number, 0, *dimensions(jpeg), jpeg)
        for number, jpeg in enumerate(itertools.islice(itertools.cycle(jpegs(clip)), count))
    ]
    for frame in frames[:WARM_UP]:
        detector.process(frame)
    print("ready", flush=True)
    sys.stdin.readline()
    began, used = time.time(), time.process_time()
    for frame in frames:
        detector.process(frame)
    print(json.dumps({"began": began, "ended": time.time(), "cpu_s": time.process_time() - used}))


if __name__ == "__main__":
    main()
