# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What all modules that ask an API server have in common."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kubeconfig:
    description:
      - The kubeconfig. Without it, the environment variables E(K8S_AUTH_KUBECONFIG) and E(KUBECONFIG) and C(~/.kube/config) are looked at, as by
        C(kubernetes.core).
    type: path
  context:
    description: The kubeconfig's context; its current one when left out. The environment variable E(K8S_AUTH_CONTEXT) is looked at.
    type: str
requirements:
  - kubernetes >= 24.2.0
"""
