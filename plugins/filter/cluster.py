# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the preflight asks of all hosts of a cluster together."""

from __future__ import annotations

import importlib.util

from ansible.errors import AnsibleFilterError
from ansible_collections.cctv.pipeline.plugins.plugin_utils.cluster_checks import is_ipv4, problems


def cluster_problems(hosts, settings):
    """Return every problem of the hosts and the settings."""
    try:
        found = importlib.util.find_spec("kubernetes") is not None
        return problems(list(hosts), {"controller_has_kubernetes": found, **settings})
    except (KeyError, TypeError, AttributeError) as error:
        raise AnsibleFilterError(f"cluster_problems: {type(error).__name__}: {error}") from error


def node_peers(hosts, hostvars):
    """Return for each host the address that is set for it, if any, and where others can try to reach it, if that is known."""
    found = {}
    for host in hosts:
        variables = hostvars[host]
        address = variables.get("node_address")
        if not address:
            name = str(variables.get("ansible_host") or host)
            address = name if is_ipv4(name) else ""
        peer = f"{address}:{variables.get('ansible_port') or 22}" if is_ipv4(str(address)) else ""
        found[host] = {"address": str(address), "peer": peer}
    return found


class FilterModule:
    """The collection's filters about a cluster's hosts."""

    def filters(self):
        """Name and function of each."""
        return {"cluster_problems": cluster_problems, "node_peers": node_peers}
