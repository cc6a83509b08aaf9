"""When workloads have rolled out, what stands in their way, and whether waiting for it is of use."""

from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils import rollout

Thing = dict[str, Any]


def workload(kind: str = "Deployment", **status: Any) -> Thing:
    """A workload of two replicas that have rolled out, but for what is given."""
    settled = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2}
    revision = {"deployment.kubernetes.io/revision": "2"}
    metadata = {"name": "video", "uid": "w", "generation": 3, "annotations": revision}
    return {"kind": kind, "metadata": metadata, "spec": {"replicas": 2}, "status": settled | status}


def pod(state: Thing, last: Thing | None = None, restarts: int = 0, **status: Any) -> Thing:
    """A pod that is not ready, whose container is in a state."""
    container = {"name": "video", "image": "cctv/video:1"}
    said = {"name": "video", "restartCount": restarts, "ready": False, "state": state, "lastState": last or {}}
    return {
        "metadata": {"name": "video-1", "namespace": "cctv"},
        "spec": {"containers": [container]},
        "status": {"phase": "Pending", "containerStatuses": [said]} | status,
    }


def waiting(reason: str, message: str = "") -> Thing:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int, reason: str = "Error") -> Thing:
    return {"terminated": {"exitCode": code, "reason": reason}}


@pytest.mark.parametrize(
    ("status", "lacks"),
    [
        ({}, ""),
        ({"observedGeneration": 2}, "not seen by its controller yet"),
        ({"updatedReplicas": 1}, "1 of 2 replicas are of the new revision"),
        ({"replicas": 3}, "1 replicas of the old revision are to end"),
        ({"availableReplicas": 1}, "1 of 2 replicas are available"),
    ],
)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_what_a_workload_lacks(kind: str, status: Thing, lacks: str) -> None:
    revisions = {"currentRevision": "a", "updateRevision": "b"}
    assert rollout.waiting_for(workload(kind, **revisions, **status)) == lacks


def test_a_workload_without_status_has_not_rolled_out() -> None:
    fresh = workload()
    del fresh["status"]
    assert rollout.waiting_for(fresh) == "not seen by its controller yet"


def test_a_workload_of_no_replicas_has_rolled_out() -> None:
    none = workload(replicas=0, updatedReplicas=0, readyReplicas=0, availableReplicas=0)
    none["spec"]["replicas"] = 0
    assert rollout.waiting_for(none) == ""


def test_pods_of_the_newest_revision_are_told_from_others() -> None:
    def replica_set(uid: str, revision: str) -> Thing:
        return {
            "metadata": {
                "uid": uid,
                "labels": {"pod-template-hash": uid},
                "annotations": {"deployment.kubernetes.io/revision": revision},
                "ownerReferences": [{"uid": "w"}],
            }
        }

    def of(uid: str, name: str, **more: Any) -> Thing:
        return {
            "metadata": {"name": name, "labels": {"pod-template-hash": uid}, "ownerReferences": [{"uid": uid}]} | more
        }

    pods = [of("old", "a"), of("new", "b"), of("new", "c", deletionTimestamp="now"), of("stranger", "d")]
    new, old = rollout.pods_of(workload(), pods, [replica_set("old", "1"), replica_set("new", "2")])
    assert [p["metadata"]["name"] for p in new] == ["b"]
    assert [p["metadata"]["name"] for p in old] == ["a"]


@pytest.mark.parametrize(
    ("found", "text", "patient"),
    [
        (
            pod(waiting("ImagePullBackOff", "no such")),
            "image cctv/video:1 cannot be pulled (ImagePullBackOff: no such)",
            True,
        ),
        (pod(waiting("CreateContainerConfigError", 'secret "s" not found')), 'secret "s" not found', True),
        (pod(waiting("CrashLoopBackOff"), ended(78), 1), "refuses its configuration (exit code 78)", False),
        (pod(ended(78)), "refuses its configuration (exit code 78)", False),
        (pod(waiting("CrashLoopBackOff"), ended(1), 3), "ended with exit code 1", False),
        (pod(ended(137, "OOMKilled"), restarts=4), "raise its memory limit", False),
    ],
)
def test_what_does_not_mend_itself_has_a_limit_of_its_own(found: Thing, text: str, patient: bool) -> None:
    hindrance = rollout.of_pod(found)
    assert text in str(hindrance)
    assert hindrance.patience is not rollout.NEVER
    assert (hindrance.patience > 0) is patient


@pytest.mark.parametrize(
    ("found", "before", "text"),
    [
        (pod(waiting("CrashLoopBackOff"), ended(1), 2), 0, "started again 2 times"),
        # It may have waited for what has come meanwhile.
        (pod(waiting("CrashLoopBackOff"), ended(1), 9), 9, "started again 9 times"),
        (pod({"running": {}}), 0, "container video runs, but is not ready"),
        (pod(waiting("ContainerCreating")), 0, "is ContainerCreating"),
        (
            pod(
                {},
                conditions=[
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}
                ],
            ),
            0,
            "fits on no node (Unschedulable: 0/3 nodes)",
        ),
    ],
)
def test_what_may_mend_itself_is_worth_the_whole_limit(found: Thing, before: int, text: str) -> None:
    hindrance = rollout.of_pod(found, before)
    assert text in str(hindrance)
    assert hindrance.patience is rollout.NEVER


def test_a_ready_pod_is_no_hindrance() -> None:
    assert rollout.of_pod(pod({"running": {}}, conditions=[{"type": "Ready", "status": "True"}])) is None


def test_a_full_quota_is_told_by_its_name() -> None:
    message = 'pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=4, limited: pods=4'
    failing = workload(conditions=[{"type": "ReplicaFailure", "status": "True", "message": message}])
    assert "ResourceQuota few is full" in str(rollout.of_creation(failing, []))


def test_a_statefulset_tells_in_events_that_pods_cannot_be_created_and_that_they_were() -> None:
    def event(reason: str, at: str) -> Thing:
        return {
            "involvedObject": {"uid": "w"},
            "reason": reason,
            "message": reason,
            "lastTimestamp": at,
            "metadata": {},
        }

    failed, made = event("FailedCreate", "2026-11-22T20:00:01Z"), event("SuccessfulCreate", "2026-11-22T20:00:02Z")
    stateful = workload("StatefulSet")
    assert "cannot be created" in str(rollout.of_creation(stateful, [failed]))
    assert rollout.of_creation(stateful, [made, failed]) is None


def test_a_missing_storage_class_is_told_with_what_to_delete() -> None:
    claim = {
        "metadata": {"name": "data-kafka-0", "namespace": "cctv"},
        "spec": {"storageClassName": "fast"},
        "status": {"phase": "Pending"},
    }
    event = {"involvedObject": {"name": "data-kafka-0"}, "message": 'storageclass.storage.k8s.io "fast" not found'}
    kafka = workload("StatefulSet")
    told = str(rollout.of_claim(claim, kafka, [event]))
    assert "there is no storage class fast" in told
    assert "kubectl -n cctv delete statefulset/video pvc/data-kafka-0" in told
    assert rollout.of_claim(claim, kafka, []) is None


def test_each_warning_is_told_once_the_newest_last() -> None:
    def event(name: str, message: str, second: int, kind: str = "Warning") -> Thing:
        at = f"2026-11-22T20:00:0{second}Z"
        return {
            "involvedObject": {"name": name},
            "reason": "BackOff",
            "message": message,
            "type": kind,
            "lastTimestamp": at,
            "metadata": {},
        }

    events = [event("a", "again", 3), event("a", "again", 1), event("a", "first", 2), event("b", "other", 4)]
    assert rollout.told([*events, event("a", "fine", 5, "Normal")], {"a"}) == [
        "20:00:02 a BackOff: first",
        "20:00:03 a BackOff: again",
    ]
