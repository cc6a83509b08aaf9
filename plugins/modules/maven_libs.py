#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: maven_libs
short_description: Make a folder of the jars that a lock file lists
version_added: 1.0.0
description:
  - Fetches many Maven artifacts at once, each verified by its pinned SHA-256.
  - The folder appears as a whole, or not at all, so one that is there is complete.
  - M(community.general.maven_artifact) fetches one artifact in a task and verifies it by a checksum that the same repository gives.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  artifacts:
    description: What to fetch.
    type: list
    elements: dict
    required: true
    suboptions:
      group:
        description: The artifact's group.
        type: str
        required: true
      artifact:
        description: Its name.
        type: str
        required: true
      version:
        description: Its version.
        type: str
        required: true
      classifier:
        description: Its classifier.
        type: str
        default: ""
      sha256:
        description: SHA-256 of its jar, in hexadecimal digits.
        type: str
        required: true
  dest:
    description: The folder to make.
    type: path
    required: true
  repository_url:
    description:
      - The Maven repository to fetch from.
      - The default is that of M(community.general.maven_artifact).
    type: str
  connections:
    description: How many artifacts are fetched at the same time.
    type: int
    default: 8
  timeout:
    description: Seconds without an answer after which a download is tried again.
    type: int
    default: 30
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Fetch Kafka
  cctv.pipeline.maven_libs:
    artifacts:
      - group: org.slf4j
        artifact: slf4j-api
        version: 1.7.36
        sha256: d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0
    dest: ~/.local/share/kafka/libs
"""

RETURN = r"""
fetched:
  description: Names of the jars that were fetched, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

import hashlib
import os
import shutil
import tempfile
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor

from ansible.module_utils.basic import AnsibleModule
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


def complete(folder, names):
    """Return whether all jars are there; a folder is only ever put in place whole."""
    return os.path.isdir(folder) and names <= set(os.listdir(folder))


def main():
    artifact = {name: {"type": "str", "required": True} for name in ("group", "artifact", "version", "sha256")}
    artifact["classifier"] = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "artifacts": {"type": "list", "elements": "dict", "required": True, "options": artifact},
            "dest": {"type": "path", "required": True},
            "repository_url": {"type": "str"},
            "connections": {"type": "int", "default": 8},
            "timeout": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    artifacts, dest = module.params["artifacts"], module.params["dest"].rstrip("/")
    names = {file_name(entry) for entry in artifacts}
    if len(names) < len(artifacts):
        module.fail_json(msg="two of the artifacts have jars of the same name")
    if complete(dest, names):
        module.exit_json(changed=False, fetched=[])
    if module.check_mode:
        module.exit_json(changed=True, fetched=sorted(names))
    if not module.params["repository_url"]:
        module.fail_json(
            msg="repository_url is not set, and community.general.maven_artifact, whose default it has, is not installed"
        )
    parent = os.path.dirname(dest)
    folder = None
    try:
        os.makedirs(parent, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".fetching-", dir=parent)
        os.chmod(folder, 0o755)
        with ThreadPoolExecutor(module.params["connections"]) as pool:
            repository, timeout = module.params["repository_url"], module.params["timeout"]
            running = [pool.submit(fetch, entry, repository, folder, timeout) for entry in artifacts]
            try:
                for future in running:
                    future.result()
            except Failed:
                for future in running:
                    future.cancel()
                raise
        # Another run may have put the same jars there meanwhile, and may be using them.
        if not complete(dest, names):
            shutil.rmtree(dest, ignore_errors=True)
            os.rename(folder, dest)
            folder = None
    except (Failed, OSError) as error:
        module.fail_json(msg=str(error))
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
    module.exit_json(changed=True, fetched=sorted(names))


if __name__ == "__main__":
    main()
