# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: replica_host
short_description: Tell a replica the host name under which others reach it
version_added: 1.0.0
description:
  - Gives a text for a container's environment, in which the runtime puts in what it knows of each replica.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _terms:
    description: The StatefulSet's name, which is its headless Service's too.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: What does a broker advertise?
  ansible.builtin.debug:
    msg: "{{ lookup('cctv.pipeline.replica_host', 'kafka') }}"
"""

RETURN = r"""
_raw:
  description: Host names with references to C(POD_NAME) or C(POD_IP).
  type: list
  elements: str
"""

from ansible.plugins.lookup import LookupBase
from ansible_collections.cctv.pipeline.plugins.plugin_utils.runtime import Settings


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        settings = Settings(variables, self._templar.template)
        if settings.local:
            return ["$(POD_IP)" for workload in terms]
        return ["$(POD_NAME).%s.%s.svc" % (workload, settings.namespace) for workload in terms]
