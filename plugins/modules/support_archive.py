#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: support_archive
short_description: Gather what tells how the pipeline is, without its secrets
version_added: 1.1.0
description:
  - Writes an archive of states, manifests, events, the ends of logs, metrics, versions, and facts of CPU, memory and disk.
  - Every value of every Secret of the pipeline, in all forms that it usually takes, and whatever looks like a password, a token, a private key or the login
    of a URL is taken out of all of it. Names of users stay.
  - What cannot be had is told in C(problems.txt) of the archive.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  dest:
    description: The archive, a C(.tar.gz). It is replaced, and readable by its owner only.
    type: path
    required: true
  namespace:
    description: The namespace on a cluster in which the pipeline runs.
    type: str
  state_dir:
    description: Where it runs on this machine, the local runtime's folder of state.
    type: path
  data_dir:
    description: And its folder of data.
    type: path
  url:
    description: The video service.
    type: str
  pods:
    description: What runs, as M(cctv.pipeline.local_workload_info) or M(cctv.pipeline.kubernetes_workload_info) lists it.
    type: list
    elements: dict
    required: true
  table:
    description: The same, as lines of text.
    type: list
    elements: str
    default: []
  versions:
    description: Versions of what the caller is made of.
    type: dict
    default: {}
  log_lines:
    description: How many of the last lines of each log are taken.
    type: int
    default: 1000
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Ask for help
  cctv.pipeline.support_archive:
    dest: /tmp/support.tar.gz
    state_dir: ~/.local/state/cctv-pipeline
    data_dir: ~/.local/share/cctv-pipeline
    pods: "{{ running.pods }}"
"""

RETURN = r"""
files:
  description: Names of what is in the archive.
  returned: success
  type: list
  elements: str
problems:
  description: What could not be had, and why.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils import kubernetes_diagnosis, local_diagnosis
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import ARGUMENTS, Api, Problem
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import Runtime
from ansible_collections.cctv.pipeline.plugins.module_utils.metrics_ports import has_metrics
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import UNANSWERED, reach
from ansible_collections.cctv.pipeline.plugins.module_utils.redaction import Redactor
from ansible_collections.cctv.pipeline.plugins.module_utils.support_archive import Archive


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            dest={"type": "path", "required": True},
            namespace={"type": "str"},
            state_dir={"type": "path"},
            data_dir={"type": "path"},
            url={"type": "str"},
            pods={"type": "list", "elements": "dict", "required": True},
            table={"type": "list", "elements": "str", "default": []},
            versions={"type": "dict", "default": {}},
            log_lines={"type": "int", "default": 1000},
        ),
        required_together=[("state_dir", "data_dir")],
        required_one_of=[("namespace", "state_dir")],
        supports_check_mode=True,
    )
    params = module.params
    archive = Archive()
    archive.add("status.txt", "\n".join(params["table"]) + "\n")
    archive.add("pods.json", params["pods"])
    archive.add("versions.json", params["versions"])
    asked = reach(module)
    try:
        if params["namespace"]:
            api = Api(params["kubeconfig"], params["context"])
            kept = kubernetes_diagnosis.gather(archive, api, params["namespace"], params["log_lines"])
        else:
            runtime = Runtime(params["state_dir"], params["data_dir"])
            kept = local_diagnosis.gather(archive, runtime, params["pods"], params["log_lines"])
    except Problem as problem:
        module.fail_json(msg=str(problem))
    archive.attempt("cameras.json", asked.cameras, UNANSWERED)
    for pod in params["pods"]:
        if has_metrics(pod):
            name = "metrics/%s.txt" % pod["name"]
            archive.attempt(name, lambda pod=pod: asked.metrics(pod), UNANSWERED)
    if not module.check_mode:
        archive.write(params["dest"], Redactor(kept))
    module.exit_json(changed=True, files=sorted(archive.files), problems=archive.problems)


if __name__ == "__main__":
    main()
