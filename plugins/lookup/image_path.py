# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: image_path
short_description: Tell where a workload finds what its image brings
version_added: 1.1.0
description:
  - Where workloads are containers, that is the path in the image; on one machine it is where the installation puts it.
  - Reads the variables C(workload_runtime) and C(local_runtime_data).
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _terms:
    description: Paths in an image, such as V(/models/imagenet).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Where is the built-in model?
  ansible.builtin.debug:
    msg: "{{ lookup('cctv.pipeline.image_path', '/models/imagenet') }}"
"""

RETURN = r"""
_raw:
  description: Paths as the workload sees them.
  type: list
  elements: str
"""

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase
from ansible_collections.cctv.pipeline.plugins.plugin_utils.runtime import Settings


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        settings = Settings(variables, self._templar.template)
        root = settings.get("local_runtime_data", None) if settings.local else ""
        if root is None:
            raise AnsibleError("local_runtime_data is not set; expected the role local_runtime before")
        return [root + path for path in terms]
