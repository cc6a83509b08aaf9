#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: pipeline_flow
short_description: Wait until predicted frames of every camera flow, or name the hop that is silent
version_added: 1.0.0
description:
  - Asks the video service what viewers get. When a camera is missing, follows its frames by the counters of each stage to the first one
    that does not count.
author: The cctv.pipeline contributors (@cctv-pipeline)
extends_documentation_fragment:
  - cctv.pipeline.kubernetes
options:
  url:
    description: The video service.
    type: str
    required: true
  username:
    description: The name that belongs to O(password).
    type: str
    default: cctv
  password:
    description: What the video service asks for, if it does.
    type: str
  namespace:
    description: The namespace on a cluster in which the pipeline runs; its video service and its pods are then asked through the API server.
    type: str
  pods:
    description:
      - What runs, as M(cctv.pipeline.local_workload_info) or M(cctv.pipeline.kubernetes_workload_info) lists it.
      - Every camera that a producer runs for must flow.
    type: list
    elements: dict
    required: true
  wait_timeout:
    description: Seconds to wait for every camera.
    type: int
    default: 60
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
"""

EXAMPLES = r"""
- name: Does it flow?
  cctv.pipeline.pipeline_flow:
    url: http://127.0.0.1:30163
    pods: "{{ running.pods }}"

- name: Does it flow on the cluster?
  cctv.pipeline.pipeline_flow:
    url: http://worker1:30163
    namespace: cctv
    pods: "{{ running.pods }}"
"""

RETURN = r"""
cameras:
  description: What the video service says of each camera, as in C(/cameras).
  returned: success
  type: list
  elements: dict
table:
  description: The same as lines of text.
  returned: success
  type: list
  elements: str
"""

import json
import re
import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_api import ARGUMENTS
from ansible_collections.cctv.pipeline.plugins.module_utils.reach import UNANSWERED, reach
from ansible_collections.cctv.pipeline.plugins.module_utils.table import lines

COLUMNS = (
    ("camera", "%s", "id"),
    ("frames/s in", "%.1f", "fps_in"),
    ("frames/s out", "%.1f", "fps"),
    ("age p50 ms", "%.0f", "age_p50_ms"),
    ("age p95 ms", "%.0f", "age_p95_ms"),
    ("top label", "%s", "label"),
)
SAMPLE = re.compile(r"^(\w+)\{([^}]*)\} ([0-9.eE+-]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
OBSERVED_S = 2
CAMERA = "cctv.pipeline/camera"


def flowing(camera):
    """Return whether what the video service says of a camera is a live, predicted picture with figures to show."""
    return (
        camera["state"] == "live"
        and bool(camera["label"])
        and None not in [camera[key] for title, form, key in COLUMNS]
    )


def table(cameras):
    """Return the cameras' figures as lines of equally wide columns."""
    rows = [[title for title, form, key in COLUMNS]]
    rows += [[form % camera[key] for title, form, key in COLUMNS] for camera in cameras]
    return lines(rows, right=(1, 2, 3, 4))


def counters(metrics):
    """Return (metric, stage, camera, cause) -> count of what a pod's metrics say."""
    found = {}
    for name, labels, value in SAMPLE.findall(metrics):
        said = dict(LABEL.findall(labels))
        key = (name, said.get("stage", ""), said.get("camera", ""), said.get("cause", ""))
        found[key] = found.get(key, 0) + float(value)
    return found


class Stage:
    """What the pods of one component counted of one camera while we looked."""

    def __init__(self, stage, pods, asked):
        self.stage = stage
        self._asked = asked
        self.pods = pods
        self.problem = ""
        self._first = self._look()

    def _look(self):
        total = {}
        for pod in self.pods:
            try:
                for key, value in counters(self._asked.metrics(pod)).items():
                    total[key] = total.get(key, 0) + value
            except UNANSWERED as error:
                self.problem = "%s does not answer (%s)" % (pod["name"], error)
        return total

    def again(self):
        """Look a second time, and keep the difference."""
        second = self._look()
        self._grown = {key: value - self._first.get(key, 0) for key, value in second.items()}

    def grown(self, metric, camera):
        """Return by how much a counter grew."""
        return sum(
            v
            for (name, stage, of, cause), v in self._grown.items()
            if (name, stage, of) == (metric, self.stage, camera)
        )

    def causes(self, camera):
        """Return why frames were dropped meanwhile, most frequent first."""
        dropped = {
            cause: value
            for (name, stage, of, cause), value in self._grown.items()
            if name == "cctv_frames_dropped_total" and of in (camera, "") and value > 0
        }
        return ", ".join("%s %d" % (cause, dropped[cause]) for cause in sorted(dropped, key=dropped.get, reverse=True))

    def log(self):
        """Return where its logs are."""
        return ", ".join(pod["log"] for pod in self.pods)


def silent_hop(camera, pods, asked):
    """Return a sentence that names the first hop on which the camera's frames are lost, and the log to read."""
    of = {
        "producer": [p for p in pods if p["component"] == "producer" and p["labels"].get(CAMERA) == camera],
        "consumer": [p for p in pods if p["component"] == "consumer"],
        "video": [p for p in pods if p["component"] == "video"],
    }
    for stage, found in of.items():
        if not found:
            return "no %s runs" % stage
        for pod in found:
            if pod["state"] != "running":
                return "%s is %s; see %s" % (pod["name"], pod["state"], pod["log"])
    stages = [Stage(stage, found, asked) for stage, found in of.items()]
    time.sleep(OBSERVED_S)
    for stage in stages:
        stage.again()
        if stage.problem:
            return "%s; see %s" % (stage.problem, stage.log())
    producer, consumer, video = stages
    servers = ", ".join(p["log"] for p in pods if p["component"] == "tf_serving")
    brokers = ", ".join(p["log"] for p in pods if p["component"] == "kafka")
    hops = (
        (producer, "cctv_frames_in_total", "camera -> producer", ""),
        (producer, "cctv_frames_out_total", "producer -> kafka", brokers),
        (consumer, "cctv_frames_in_total", "kafka (videocam) -> consumer", brokers),
        (consumer, "cctv_frames_out_total", "consumer -> tf_serving -> kafka", servers),
        (video, "cctv_frames_in_total", "kafka (videodisplay) -> video", brokers),
        (video, "cctv_frames_out_total", "video -> viewers", ""),
    )
    for stage, metric, hop, beyond in hops:
        if not stage.grown(metric, camera):
            dropped = stage.causes(camera)
            return "silent is %s%s; see %s" % (
                hop,
                " (dropped in %d s: %s)" % (OBSERVED_S, dropped) if dropped else "",
                ", ".join(filter(None, [stage.log(), beyond])),
            )
    return "its frames flow, but without a prediction: silent is consumer -> tf_serving; see %s" % (
        servers or consumer.log()
    )


def main():
    module = AnsibleModule(
        argument_spec=dict(
            ARGUMENTS,
            url={"type": "str", "required": True},
            username={"type": "str", "default": "cctv"},
            password={"type": "str", "no_log": True},
            namespace={"type": "str"},
            pods={"type": "list", "elements": "dict", "required": True},
            wait_timeout={"type": "int", "default": 60},
        ),
        supports_check_mode=True,
    )
    pods = module.params["pods"]
    wanted = sorted({pod["labels"][CAMERA] for pod in pods if CAMERA in pod["labels"]})
    if not wanted:
        module.fail_json(msg="no producer runs, so there is nothing to wait for")
    asked = reach(module)
    end = time.monotonic() + module.params["wait_timeout"]
    said, problem = {}, ""
    while True:
        try:
            said = {camera["id"]: camera for camera in json.loads(asked.cameras())["cameras"]}
            problem = ""
        except (*UNANSWERED, KeyError, TypeError) as error:
            problem = "%s: %s" % (asked.video, error)
        missing = [camera for camera in wanted if camera not in said or not flowing(said[camera])]
        if not missing and not problem:
            break
        if time.monotonic() > end:
            silent = ["%s: %s" % (camera, silent_hop(camera, pods, asked)) for camera in missing]
            module.fail_json(
                msg="after %d s, no predicted frames of %d of %d cameras:\n%s"
                % (
                    module.params["wait_timeout"],
                    len(missing),
                    len(wanted),
                    "\n".join(filter(None, [problem] + silent)),
                )
            )
        time.sleep(0.25)
    cameras = [said[camera] for camera in wanted]
    module.exit_json(changed=False, cameras=cameras, table=table(cameras))


if __name__ == "__main__":
    main()
