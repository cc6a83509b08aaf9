"""What asking the model server over gRPC costs, beside the SavedModel in the process that asks."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from cctv_consumer.serving import GrpcClient
from cctv_consumer.settings import ModelSettings
from integration.serving.conftest import Server, starter

from benchmarks.processes import cpu_s

ROOT = Path(__file__).resolve().parent.parent
BATCH = 8
IN_FLIGHT = 2
"""Calls at a time: one that runs and one that waits, as the consumer has."""


def _over_grpc(server: Server, images: list[bytes], seconds: float) -> tuple[float, float]:
    """Pictures a second, and the server's CPU seconds a picture."""
    client = GrpcClient(f"ipv4:{server.target}")
    model = ModelSettings(name="imagenet")
    turns = threading.Semaphore(IN_FLIGHT)
    answered: list[int] = []
    asked = 0

    def ask() -> None:
        nonlocal asked
        at = asked % (len(images) - BATCH + 1)
        asked += BATCH
        turns.acquire()
        future = client.predict(model, {"image_bytes": images[at : at + BATCH]}, ("classes", "probabilities"), 30)

        def done(__: object) -> None:
            answered.append(len(future.result()["classes"]))
            turns.release()

        future.add_done_callback(done)

    for __ in range(3):
        ask()
    before, began, used = sum(answered), time.monotonic(), cpu_s(server.process.pid)
    while time.monotonic() - began < seconds:
        ask()
    count, passed = sum(answered) - before, time.monotonic() - began
    cpu = cpu_s(server.process.pid) - used
    for __ in range(IN_FLIGHT):
        turns.acquire()
    client.close()
    return count / passed, cpu / count


def _in_process(model: Path, pictures: Path, seconds: float) -> tuple[float, float]:
    command = [sys.executable, "-m", "benchmarks.saved_model", str(model), str(pictures), str(BATCH), str(seconds)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return float(said[0]), float(said[1])


def compare(base: Path, version: int, images: list[bytes], quick: bool) -> str:
    """Measure both in turn; ``base``: the model's folder with its versions."""
    seconds, rounds = (3.0, 1) if quick else (10.0, 3)
    rows, ratios, costs = [], [], []
    with tempfile.TemporaryDirectory() as folder, starter(Path(folder)) as start:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        for number, image in enumerate(images):
            (pictures / f"{number:04}.jpg").write_bytes(image)
        server = start(base)
        for number in range(rounds):
            far, far_cpu = _over_grpc(server, images, seconds)
            near, near_cpu = _in_process(base / str(version), pictures, seconds)
            ratios.append(far / near)
            costs.append(near_cpu / far_cpu)
            rows.append(f"| {number + 1} | {far:.1f} | {near:.1f} | {1000 * far_cpu:.2f} | {1000 * near_cpu:.2f} |")
    return (
        f"**{statistics.median(ratios):.2f}** (goal: at least 0.9) of the pictures a second of the SavedModel in the "
        f"process that asks, and {statistics.median(costs):.2f} of its pictures for a CPU second, has the server over "
        f"gRPC: batches of {BATCH}, {IN_FLIGHT} calls at a time, one thread of TensorFlow each; medians, rounds in "
        "turn.\n\n"
        "| round | gRPC, pictures/s | in process, pictures/s | CPU ms a picture of the server | in process |\n"
        "|---|---|---|---|---|\n" + "\n".join(rows)
    )
