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

import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.maven import Failed, fetch_all, file_name


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
        repository, connections = module.params["repository_url"], module.params["connections"]
        fetch_all(artifacts, repository, folder, connections, module.params["timeout"])
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
