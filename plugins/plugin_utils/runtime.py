# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which runtime the workloads of a play are for."""

from __future__ import annotations

LOCAL = "local"


class Settings:
    """What lookups have to know of role C(workload)'s variables, with the same defaults; ``template`` is the templar's."""

    def __init__(self, variables, template):
        self._variables = variables or {}
        self._template = template
        nodes = (self._variables.get("groups") or {}).get("kube_control_plane")
        self.local = self.get("workload_runtime", "kubernetes" if nodes else LOCAL) == LOCAL
        self.namespace = self.get("workload_namespace", "cctv")

    def get(self, name, default):
        """Return a variable's value, or ``default`` where it is not set."""
        return self._template(self._variables.get(name, default))
