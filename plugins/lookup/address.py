# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: address
short_description: Tell where a workload's port is reached
version_added: 1.0.0
description:
  - The one place that knows how workloads find each other. A role asks it for its own workload and publishes the answer in a ConfigMap, from
    which others read it.
  - Reads the variables C(workload_runtime), C(workload_namespace) and C(local_runtime_network).
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _terms:
    description: The workload's name.
    type: list
    elements: str
    required: true
  port:
    description: The port's number.
    type: int
    required: true
  replicas:
    description: How many replicas the workload has.
    type: int
    default: 1
  form:
    description:
      - V(list) gives one C(host:port) for each address at which clients should know the workload.
      - V(grpc) gives one target for a gRPC channel that balances over all replicas.
    type: str
    choices: [list, grpc]
    default: list
  stateful:
    description: Whether clients must know each replica by itself, as those of a StatefulSet.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Where are the models served?
  ansible.builtin.debug:
    msg: "{{ lookup('cctv.pipeline.address', 'tf-serving', port=8500, replicas=2, form='grpc') }}"
"""

RETURN = r"""
_raw:
  description: Addresses, or a target.
  type: list
  elements: str
"""

from ansible.plugins.lookup import LookupBase
from ansible_collections.cctv.pipeline.plugins.module_utils.addresses import replica_address
from ansible_collections.cctv.pipeline.plugins.plugin_utils.runtime import Settings


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        workload = terms[0]
        settings = Settings(variables, self._templar.template)
        port, replicas = self.get_option("port"), self.get_option("replicas")
        if settings.local:
            network = settings.get("local_runtime_network", "127.0")
            hosts = [replica_address(network, workload, index) for index in range(replicas)]
        else:
            domain = "%s.%s.svc" % (workload, settings.namespace)
            hosts = (
                ["%s-%d.%s" % (workload, i, domain) for i in range(replicas)]
                if self.get_option("stateful")
                else [domain]
            )
        addresses = ["%s:%d" % (host, port) for host in hosts]
        if self.get_option("form") == "grpc":
            return [("ipv4:" if settings.local else "dns:///") + ",".join(addresses)]
        return addresses
