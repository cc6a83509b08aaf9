# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: compose
short_description: Translate manifests to a Compose project
version_added: 1.1.0
description:
  - Makes one service of each replica of a Deployment or StatefulSet, with the names by which a cluster's DNS knows it.
  - What a manifest says and Compose cannot do is an error that names it; what means nothing on one machine is left out.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _input:
    description: The manifests, as P(cctv.pipeline.complete#filter) returns them.
    type: list
    elements: dict
    required: true
  dest:
    description: The folder of the project.
    type: path
    required: true
  listen_address:
    description: The machine's address on which NodePorts are published.
    type: str
    default: 127.0.0.1
  network:
    description: The settings of the containers' network, as Compose has them.
    type: dict
    default: {}
  revisions:
    description:
      - For the paths of V(secrets), what changes when their content does, such as the time when they were written.
      - A container that reads one has a label that changes with it, so that Compose makes it anew.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Show the project
  ansible.builtin.debug:
    msg: "{{ (manifests | cctv.pipeline.compose(dest='/srv/cctv')).project }}"
  vars:
    manifests: "{{ lookup('ansible.builtin.template', 'video.yaml.j2') | from_yaml_all | cctv.pipeline.complete('video', 'cctv') }}"
"""

RETURN = r"""
_value:
  description:
    - V(project) is the Compose file's content.
    - V(files) and V(secrets) are what it refers to, each with V(dest), V(content) and V(mode).
  type: dict
"""

import os

from ansible.errors import AnsibleFilterError
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Refused
from ansible_collections.cctv.pipeline.plugins.plugin_utils import compose as translation


def compose(manifests, dest, listen_address="127.0.0.1", network=None, revisions=None):
    if isinstance(manifests, (str, dict)):
        raise AnsibleFilterError("compose takes a list of manifests, not %s" % type(manifests).__name__)
    known = {os.path.relpath(path, dest): revision for path, revision in (revisions or {}).items()}
    try:
        project, files = translation.compose(manifests, listen_address, network, known)
    except Refused as refused:
        raise AnsibleFilterError("\n".join(refused.problems)) from None
    made = {"project": project, "files": [], "secrets": []}
    for path, (content, mode) in sorted(files.items()):
        made["secrets" if translation.is_secret(path) else "files"].append(
            {"dest": os.path.join(dest, path), "content": content, "mode": mode}
        )
    return made


class FilterModule:
    def filters(self):
        return {"compose": compose}
