#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_info
short_description: Say what a bundle on the controller holds, and whether it is intact
version_added: 1.1.0
description:
  - A bundle is a folder with all that the nodes of a cluster need. C(playbooks/bundle.yml) builds it.
  - Runs on the controller, whatever the host.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  path:
    description: The bundle.
    type: path
    required: true
  verify:
    description: Whether to compare every file with its SHA-256.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Read the bundle
  cctv.pipeline.bundle_info:
    path: ~/.local/share/cctv-pipeline/bundle
    verify: true
  register: found
"""

RETURN = r"""
bundle:
  description: What it says of itself; empty where there is no bundle.
  returned: always
  type: dict
  contains:
    version:
      description: The beginning of a hash over all its files.
      type: str
      sample: 3f1c9a7be210
    architecture:
      description: What its binaries run on.
      type: str
      sample: amd64
    debian:
      description: The release of Debian that its packages are of.
      type: str
      sample: bookworm
    kubernetes_version:
      description: Version of Kubernetes.
      type: str
      sample: v1.36.3
    images:
      description: Tags of its container images, by name.
      type: dict
      sample:
        registry.k8s.io/pause: 3.10.2
    versions:
      description: Versions of its binaries, by name.
      type: dict
      sample:
        containerd: v2.4.2
    folders:
      description: Its folders.
      type: list
      elements: str
problems:
  description: A line for each file that is missing or changed, or one that says why this is no bundle.
  returned: always
  type: list
  elements: str
"""
