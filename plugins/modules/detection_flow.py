#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: detection_flow
short_description: Wait until new detections of every camera can be searched for, or name the hop that is silent
version_added: 1.1.0
description:
  - Asks Elasticsearch for frames that were not there when this began. When a camera has none, tells the first stage of detection whose pod
    does not run or is not ready.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  namespace:
    description: The namespace on a cluster in which the pipeline runs; its pods are then asked through the API server.
    type: str
  pods:
    description:
      - What runs, as M(cctv.pipeline.local_workload_info) or M(cctv.pipeline.kubernetes_workload_info) lists it.
      - Every camera that a producer runs for must have detections, but for those of O(without).
    type: list
    elements: dict
    required: true
  without:
    description: Cameras of which nothing is detected.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for every camera.
    type: int
    default: 120
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Is anything detected?
  cctv.pipeline.detection_flow:
    pods: "{{ running.pods }}"
"""

RETURN = r"""
cameras:
  description: The newest frame of each camera as it was found.
  returned: success
  type: dict
table:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""

import json
import time
from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import ARGUMENTS
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import UNANSWERED, reach
from ansible_collections.cctv.pipeline.plugins.module_utils.table import lines

CAMERA = "cctv.pipeline/camera"
# In the order in which a detection passes them.
STAGES = ("detection", "kafka", "filebeat", "elasticsearch")


def newest(asked, pods, camera):
    """Return the newest document of a camera, or None."""
    servers = [pod for pod in pods if pod["name"] == "elasticsearch-0"]
    if not servers:
        raise ValueError("no elasticsearch-0 runs")
    query = {"q": 'camera:"%s"' % camera, "size": 1, "sort": "@timestamp:desc", "ignore_unavailable": "true"}
    said = json.loads(asked.pod(servers[0], "/detections/_search?" + urlencode(query)))
    hits = said["hits"]["hits"]
    return hits[0]["_source"] if hits else None


def silent_stage(pods):
    """Return a sentence that names the first stage that does not work, or where to look when all seem to."""
    for stage in STAGES:
        found = [pod for pod in pods if pod["component"] == stage]
        if not found:
            return "no %s runs" % stage
        for pod in found:
            if pod["state"] != "running" or not pod["ready"]:
                why = pod["state"] if pod["state"] != "running" else pod.get("why") or "not ready"
                return "%s is %s; see %s" % (pod["name"], why, pod["log"])
    return "every stage runs; see %s" % ", ".join(
        pod["log"] for pod in pods if pod["component"] in ("detection", "filebeat")
    )


def table(found, now_ms):
    """Return what was found as lines of equally wide columns."""
    rows = [["camera", "searchable after ms", "objects", "faces", "newest frame shows"]]
    for camera, document in sorted(found.items()):
        rows.append(
            [
                camera,
                "%d" % (now_ms[camera] - document["captured_at"]),
                "%d" % document["object_count"],
                "%d" % document["face_count"],
                ", ".join(document["classes"]) or "nothing",
            ]
        )
    return lines(rows, right=(1, 2, 3))


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            namespace={"type": "str"},
            pods={"type": "list", "elements": "dict", "required": True},
            without={"type": "list", "elements": "str", "default": []},
            wait_timeout={"type": "int", "default": 120},
        ),
        supports_check_mode=True,
    )
    pods = module.params["pods"]
    wanted = {pod["labels"][CAMERA] for pod in pods if CAMERA in pod["labels"]} - set(module.params["without"])
    asked = reach(module)
    end = time.monotonic() + module.params["wait_timeout"]
    before, found, seen_at, problem = {}, {}, {}, ""
    while set(found) != wanted:
        for camera in sorted(wanted - set(found)):
            try:
                document = newest(asked, pods, camera)
                problem = ""
            except (*UNANSWERED, KeyError, TypeError) as error:
                problem = "elasticsearch does not answer: %s" % error
                break
            told = document["id"] if document else ""
            if document and before.setdefault(camera, told) != told:
                found[camera], seen_at[camera] = document, time.time() * 1000
            before.setdefault(camera, told)
        if time.monotonic() > end:
            module.fail_json(
                msg="after %d s, no new detections of %s:\n%s"
                % (
                    module.params["wait_timeout"],
                    ", ".join(sorted(wanted - set(found))),
                    "\n".join(filter(None, [problem, silent_stage(pods)])),
                )
            )
        time.sleep(0.25)
    module.exit_json(changed=False, cameras=found, table=table(found, seen_at))


if __name__ == "__main__":
    main()
