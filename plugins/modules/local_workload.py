#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: local_workload
short_description: Run the workloads of Kubernetes manifests as processes of this machine
version_added: 1.0.0
description:
  - Takes the manifests of one component, and makes the local runtime run exactly these, as C(kubectl apply --prune) would on a cluster.
  - >-
    Understands a subset of Deployment, StatefulSet, Service, ConfigMap, Secret and PersistentVolumeClaim. Any field outside of it is refused by
    its name, before anything changes.
  - A process is started anew when what it reads has changed, also when another component's ConfigMap is what it reads.
  - Waits until every replica is ready; one that ends as soon as it starts is reported with its last lines.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  component:
    description: Name of the component whose manifests these are.
    type: str
  manifests:
    description: All manifests of the component. What was there before and is not in this list is removed.
    type: list
    elements: dict
  secrets:
    description:
      - Secrets that belong to O(manifests), as a list in JSON in base64. What is given in O(manifests) itself goes to the system's log, too.
    type: str
    default: ""
    version_added: 1.1.0
  only:
    description: Instead of applying a component, remove all components that are not named here.
    type: list
    elements: str
  state_dir:
    description: Folder of state of the local runtime, as given to M(cctv.pipeline.local_supervisor).
    type: path
    required: true
  data_dir:
    description: Folder of the volumes.
    type: path
    required: true
  launcher:
    description: The program C(cctv-local-exec) that starts the component's processes.
    type: path
  environment:
    description: Environment that the component's processes start from, as an image's would be.
    type: dict
    default: {}
  network:
    description: First two octets of the loopback addresses that are given to replicas.
    type: str
    default: "127.0"
  wait_timeout:
    description: Seconds to wait for readiness.
    type: int
    default: 120
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
  cctv.pipeline.local_workload:
    component: video
    manifests: "{{ lookup('ansible.builtin.file', 'video.yaml') | from_yaml_all | list }}"
    state_dir: ~/.local/state/cctv-pipeline
    data_dir: ~/.local/share/cctv-pipeline
    launcher: ~/.local/share/cctv-pipeline/venv/bin/cctv-local-exec
"""

RETURN = r"""
added:
  description: Processes that were not there before.
  returned: success
  type: list
  elements: str
restarted:
  description: Processes that were started anew, because what they read has changed.
  returned: success
  type: list
  elements: str
removed:
  description: Processes that are no longer there.
  returned: success
  type: list
  elements: str
"""

import base64
import copy
import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Refused
from ansible_collections.cctv.pipeline.plugins.module_utils.local_runtime import Failed, Runtime
from ansible_collections.cctv.pipeline.plugins.module_utils.manifests import title


def shown(components):
    """Return manifests as text to compare, without what is secret."""
    text = []
    for component, applied in sorted(components.items()):
        for manifest in sorted(applied["manifests"], key=title):
            manifest = copy.deepcopy(manifest)
            for field in ("data", "stringData") if manifest.get("kind") == "Secret" else ():
                manifest[field] = dict.fromkeys(manifest.get(field) or {}, "(secret)")
            text.append("# %s: %s\n%s\n" % (component, title(manifest), json.dumps(manifest, indent=2, sort_keys=True)))
    return "".join(text)


def main():
    module = AnsibleModule(
        argument_spec={
            "component": {},
            "manifests": {"type": "list", "elements": "dict"},
            "secrets": {"default": "", "no_log": True},
            "only": {"type": "list", "elements": "str"},
            "state_dir": {"type": "path", "required": True},
            "data_dir": {"type": "path", "required": True},
            "launcher": {"type": "path"},
            "environment": {"type": "dict", "default": {}},
            "network": {"default": "127.0"},
            "wait_timeout": {"type": "int", "default": 120},
        },
        required_together=[("component", "manifests", "launcher")],
        required_one_of=[("component", "only")],
        mutually_exclusive=[("component", "only")],
        supports_check_mode=True,
    )
    params = module.params
    runtime = Runtime(params["state_dir"], params["data_dir"], params["network"])
    components = dict(runtime.components)
    if params["component"]:
        manifests = params["manifests"] + json.loads(base64.b64decode(params["secrets"]) or "[]")
        components[params["component"]] = {
            "manifests": manifests,
            "environment": params["environment"],
            "launcher": params["launcher"],
        }
    else:
        components = {name: applied for name, applied in components.items() if name in params["only"]}
    try:
        plan = runtime.plan(components, lenient=module.check_mode)
        changed = plan.changed
        if not module.check_mode:
            if not runtime.supervisor.alive():
                module.fail_json(
                    msg="no supervisor runs in state_dir=%s; start it with local_supervisor" % params["state_dir"]
                )
            changed = plan.apply(params["component"], params["wait_timeout"]) or changed
    except Refused as refused:
        module.fail_json(
            msg="the local runtime refuses the manifests:\n" + "\n".join(refused.problems), problems=refused.problems
        )
    except Failed as failed:
        module.fail_json(msg=str(failed))
    module.exit_json(
        changed=changed,
        added=plan.added,
        restarted=plan.restarted,
        removed=plan.removed,
        diff={"before": shown(runtime.components), "after": shown(components)},
    )


if __name__ == "__main__":
    main()
