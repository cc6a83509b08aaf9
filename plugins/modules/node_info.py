#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: node_info
short_description: Look at a host that is, or shall be, a node of a cluster
version_added: 1.1.0
description:
  - Tells in one call what a cluster needs to know of a host, and changes nothing. What is wrong with it is for P(cctv.pipeline.cluster_problems#filter) to say.
  - What only root may see is V(null), or empty, without root.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  ports:
    description: TCP ports to look for strangers at. Those of a running node's own processes are no strangers'.
    type: list
    elements: int
    default: []
  udp_ports:
    description: UDP ports to look for strangers at.
    type: list
    elements: int
    default: []
  paths:
    description: Folders whose file systems' free room to tell; they need not be there yet.
    type: list
    elements: path
    default: []
  packages:
    description: Debian packages to look for.
    type: list
    elements: str
    default: []
  routes_to:
    description: IPv4 networks, as in V(10.96.0.0/12), to look for a route to.
    type: list
    elements: str
    default: []
  peers:
    description:
      - Other hosts to reach, as V(ADDRESS:PORT), with IPv4 addresses. All are tried at once, over TCP, for two seconds.
      - One that refuses the connection was reached.
    type: list
    elements: str
    default: []
  tolerant:
    description: Whether a host that cannot be looked at is told in RV(error) instead of ending the host's play.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
seealso:
  - plugin: cctv.pipeline.cluster_problems
    plugin_type: filter
"""

EXAMPLES = r"""
- name: Look at the host
  cctv.pipeline.node_info:
    ports: [6443, 10250]
    paths: [/var/lib]
    packages: [iptables, conntrack]
    routes_to: [10.96.0.0/12]
    peers: ["192.0.2.11:22"]
  become: true
  register: found
"""

RETURN = r"""
node:
  description: What was found; empty where RV(error) says why nothing was.
  returned: always
  type: dict
  contains:
    hostname:
      description: Its name.
      type: str
    machine_id:
      description: What C(/etc/machine-id) holds.
      type: str
    root:
      description: Whether this ran as root.
      type: bool
    clock:
      description: Its time, in seconds since 1970.
      type: float
    addresses:
      description: Its IPv4 addresses, less those of loopback and of the cluster's own interfaces; the one that its default route uses comes first.
      type: list
      elements: str
    networks:
      description: These addresses with their prefixes.
      type: list
      elements: str
      sample: ["192.0.2.10/24"]
    interfaces:
      description: Names of all network interfaces.
      type: list
      elements: str
    default_route:
      description: Whether it has a default route.
      type: bool
    routes_to:
      description: For each network asked for, whether a route leads there.
      type: dict
    unreachable:
      description: The peers that were not reached, and why.
      type: dict
      sample: {"192.0.2.11:22": "no answer in 2 s"}
    os:
      description: V(id), V(version_id) and V(codename) of the operating system.
      type: dict
      sample: {id: debian, version_id: "12", codename: bookworm}
    architecture:
      description: The machine's, by the kernel's name.
      type: str
      sample: x86_64
    python:
      description: Version of the Python that ran this.
      type: str
    systemd:
      description: Whether systemd is the init system.
      type: bool
    init:
      description: Name of the first process.
      type: str
    name_servers:
      description: Name servers in /etc/resolv.conf.
      type: list
      elements: str
    swap:
      description: Devices and files in use as swap.
      type: list
      elements: str
    memory_mebibytes:
      description: Memory, all of it.
      type: int
    free_mebibytes:
      description: Room at each path.
      type: dict
    devices:
      description: Number of each path's file system; two paths with one number share their room.
      type: dict
    cpus:
      description: Number of processors.
      type: int
    ports_in_use:
      description: The TCP ports asked for that strangers hold, with the name of the process, empty when that is not known.
      type: dict
      sample: {"10250": nginx}
    udp_ports_in_use:
      description: The same for UDP.
      type: dict
    cgroup:
      description: V(v1), V(v2) or V(hybrid).
      type: str
    kernel:
      description: RV(node.kernel.release) and RV(node.kernel.features), each of which is loaded, built in or loadable, or is not.
      type: dict
      contains:
        release:
          description: Its release.
          type: str
        features:
          description: What a cluster needs of it.
          type: dict
    packages:
      description: For each package asked for, whether it is installed.
      type: dict
    kubernetes:
      description: What of a cluster there is.
      type: dict
      contains:
        member:
          description: Whether the host has joined one.
          type: bool
        control_plane:
          description: Whether it is one of its control plane.
          type: bool
        interrupted:
          description: V(init) or V(join) when that was begun and has not ended.
          type: str
        kubelet_version:
          description: Version of the kubelet that is installed, empty when none is.
          type: str
        apiserver_version:
          description: Version of the API server that it runs, empty when it runs none.
          type: str
        ca:
          description: SHA-256 of the cluster's CA certificate, which tells one cluster from another; empty when there is none.
          type: str
error:
  description: Why the host could not be looked at, with O(tolerant=true).
  returned: when it could not
  type: dict
  contains:
    check:
      description: V(connection), V(become), V(python) or V(module).
      type: str
    message:
      description: What was said.
      type: str
asked:
  description: The controller's time right before and right after the call, in seconds since 1970.
  returned: always
  type: list
  elements: float
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.node import look


def main():
    kinds = {
        "ports": "int",
        "udp_ports": "int",
        "paths": "path",
        "packages": "str",
        "routes_to": "str",
        "peers": "str",
    }
    module = AnsibleModule(
        argument_spec=dict(
            {name: {"type": "list", "elements": kind, "default": []} for name, kind in kinds.items()},
            tolerant={"type": "bool", "default": False},  # for the action plugin
        ),
        supports_check_mode=True,
    )
    try:
        found = look(**{name: module.params[name] for name in kinds})
    except (OSError, ValueError) as error:
        module.fail_json(msg="The host cannot be looked at: %s" % error)
    module.exit_json(changed=False, node=found)


if __name__ == "__main__":
    main()
