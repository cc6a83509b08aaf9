"""Reads the store's pictures over NFS, with libnfs' tools, and compares them with what a pod sees."""

from __future__ import annotations

import hashlib
import json
import subprocess
import threading
import time

from cluster import Cluster, Place

DIGESTS = """
import hashlib, json, os, pathlib
folder = pathlib.Path(os.environ["IMAGE_STORE_DIR"])
print(json.dumps({
    str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in folder.glob("*/*/*/[!.]*.jpg")
}))
"""
TRY_S = 10
AGAIN_S = 0.5
PATIENCE_S = 180
"""So long is one picture asked for at most."""


class ReadBack:
    """The pictures that were there when this was made."""

    def __init__(self, cluster: Cluster, pod: Place, server: str) -> None:
        ended = cluster.run(pod, "python3", "-c", DIGESTS)
        if ended.returncode:
            raise RuntimeError(f"the pictures in the store cannot be read: {ended.stderr.strip()[-500:]}")
        self._digests: dict[str, str] = json.loads(ended.stdout)
        if not self._digests:
            raise RuntimeError("there are no pictures in the store")
        self._server = server
        self._begun, self._last = threading.Event(), threading.Event()
        self._failed = 0

    def until_begun(self, limit_s: float) -> None:
        """Wait until the first picture is read."""
        if not self._begun.wait(limit_s):
            raise RuntimeError(f"no picture was read over NFS within {limit_s:.0f} s")

    def finish(self) -> None:
        """Have all be read once more, and no more often."""
        self._last.set()

    def run(self) -> str:
        """Read all, round by round; RuntimeError unless all were the same, and some had to be asked for again."""
        read = differing = 0
        last = False
        while not last:
            last = self._last.is_set()
            for path, digest in self._digests.items():
                differing += hashlib.sha256(self._picture(path)).hexdigest() != digest
                read += 1
                self._begun.set()
        said = (
            f"{len(self._digests)} pictures read over NFS, {read} times in all, {differing} times another than in "
            f"the pod; {self._failed} attempts had no answer"
        )
        if differing or not self._failed:
            raise RuntimeError(said)
        return said

    def _picture(self, path: str) -> bytes:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said = b"no answer"
            try:
                ended = subprocess.run(
                    ["nfs-cat", f"nfs://{self._server}/image-store/{path}?version=4"],
                    capture_output=True,
                    timeout=TRY_S,
                    check=False,
                )
                if ended.returncode == 0:
                    return ended.stdout
                said = ended.stderr
            except subprocess.TimeoutExpired:
                pass
            self._failed += 1
            if time.monotonic() > deadline:
                raise RuntimeError(f"{path} cannot be read over NFS: {said.decode(errors='replace').strip()}")
            time.sleep(AGAIN_S)
