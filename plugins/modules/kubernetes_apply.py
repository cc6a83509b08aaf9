#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: kubernetes_apply
short_description: Apply all manifests of a component to a cluster, or none of them
version_added: 1.1.0
description:
  - Applies manifests on the server's side by M(kubernetes.core.k8s), all of them dry at first. When the server would refuse some, nothing is
    changed, and the message tells every problem and what to do about it.
  - The server refuses fields that it does not know.
  - Pod templates are annotated with what they read from ConfigMaps and Secrets, so that a change of these rolls out, and only where they are read.
  - Neither the result nor a difference shows what is in a Secret.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  manifests:
    description: The manifests.
    type: list
    elements: dict
    required: true
  read:
    description: What earlier components' ConfigMaps and Secrets contain, as RV(read) told.
    type: dict
    default: {}
  kubeconfig:
    description: A kubeconfig; by default what M(kubernetes.core.k8s) finds.
    type: path
  context:
    description: A context in it.
    type: str
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Run the video service
  cctv.pipeline.kubernetes_apply:
    manifests: "{{ lookup('ansible.builtin.file', 'video.yaml') | from_yaml_all | list }}"
"""

RETURN = r"""
read:
  description: An opaque text for each ConfigMap and Secret that is known, another one when its content is another.
  returned: success
  type: dict
  sample:
    ConfigMap/video: 3f1c9a7be210
applied:
  description: C(apiVersion), C(kind) and C(name) of each manifest.
  returned: success
  type: list
  elements: dict
  sample:
    - {apiVersion: v1, kind: ConfigMap, name: video}
"""
