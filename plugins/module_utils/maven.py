# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fetches Maven artifacts that are pinned by SHA-256."""

from __future__ import annotations

import hashlib
import os
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.urls import open_url

TRIES = 4
FINAL = (400, 401, 403, 404, 410)
"""HTTP answers that another try does not change."""


class Failed(Exception):
    """An artifact that cannot be had."""


def file_name(entry):
    """Return the name that Maven gives an artifact's jar."""
    return "-".join(part for part in (entry["artifact"], entry["version"], entry["classifier"]) if part) + ".jar"


def url_of(entry, repository):
    """Return where an artifact lies in a repository."""
    folders = entry["group"].replace(".", "/"), entry["artifact"], entry["version"]
    return "/".join((repository.rstrip("/"),) + folders + (file_name(entry),))


def fetch(entry, repository, folder, timeout):
    """Download an artifact into ``folder`` and verify it."""
    url = url_of(entry, repository)
    path = os.path.join(folder, file_name(entry))
    for attempt in range(TRIES):
        try:
            digest, received = hashlib.sha256(), 0
            with open(path, "wb") as out, open_url(url, timeout=timeout, http_agent="cctv.pipeline") as answer:
                for block in iter(lambda: answer.read(1 << 18), b""):
                    digest.update(block)
                    received += out.write(block)
                out.flush()
                os.fsync(out.fileno())
                # A connection that is cut looks like an end.
                expected = int(answer.headers.get("Content-Length") or received)
            if received != expected:
                raise OSError("the connection ended after %d of %d bytes" % (received, expected))
            break
        except (OSError, urllib.error.URLError, ValueError) as error:
            if attempt + 1 == TRIES or getattr(error, "code", None) in FINAL:
                raise Failed("cannot fetch %s: %s" % (url, error)) from error
            time.sleep(0.5 * 2**attempt)
    if digest.hexdigest() != entry["sha256"].lower():
        raise Failed("%s has the SHA-256 %s, expected %s" % (url, digest.hexdigest(), entry["sha256"]))


def fetch_all(artifacts, repository, folder, connections, timeout):
    """Download artifacts into ``folder``, several at the same time; one that cannot be had ends it."""
    with ThreadPoolExecutor(connections) as pool:
        running = [pool.submit(fetch, entry, repository, folder, timeout) for entry in artifacts]
        try:
            for future in running:
                future.result()
        except BaseException:
            for future in running:
                future.cancel()
            raise
