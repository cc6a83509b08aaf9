# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether workloads have rolled out, and what stands in the way. Pure: objects of the API in, sentences out."""

from __future__ import annotations

from ansible_collections.cctv.pipeline.plugins.module_utils import kubernetes_refusal

NEVER = None  # it may mend itself: worth the whole limit
CONFIGURATION_ERROR = 78  # EX_CONFIG: how the services refuse their environment
CRASHES = 3
IMAGE_STATES = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
CONFIG_STATES = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
ON_QUOTA_S, ON_IMAGE_S, ON_CONFIG_S, ON_REFUSAL_S, ON_CLAIM_S = 30, 25, 10, 5, 10

CREATION = (
    (
        "violates PodSecurity",
        "the namespace enforces a Pod Security level that these pods do not meet; change what they ask for, or the namespace's label",
    ),
    ("no PriorityClass", "expected one that is there: " + kubernetes_refusal.ADMIN),
)


class Hindrance:
    """Why a workload is not ready. ``patience``: seconds after which it is clear that it stays so, or NEVER.

    ``key`` stays the same as long as the reason does; ``pod``, ``container`` and ``claim`` are '' where none is to blame;
    ``previous``: what the container logged is in the log of the one before it.
    """

    def __init__(self, key, text, advice="", patience=NEVER, pod="", container="", previous=False, claim=""):
        self.key = key
        self.text = text
        self.advice = advice
        self.patience = patience
        self.pod = pod
        self.container = container
        self.previous = previous
        self.claim = claim

    def __str__(self):
        return "; ".join(filter(None, [self.text, self.advice]))


def title(workload):
    """Name a workload as kubectl does."""
    return "%s/%s" % (workload["kind"].lower(), workload["metadata"]["name"])


def wanted(workload):
    """Return how many replicas a workload shall have."""
    replicas = workload["spec"].get("replicas")
    return 1 if replicas is None else replicas


def waiting_for(workload):
    """Return what a workload still lacks, '' when it has rolled out."""
    status, replicas = workload.get("status") or {}, wanted(workload)
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return "not seen by its controller yet"
    updated = status.get("updatedReplicas", 0)
    if workload["kind"] == "StatefulSet" and status.get("currentRevision") == status.get("updateRevision"):
        # It is not counted in all versions when nothing was to be updated.
        updated = max(updated, status.get("currentReplicas", 0))
    if updated < replicas:
        return "%d of %d replicas are of the new revision" % (updated, replicas)
    if status.get("replicas", 0) > replicas:
        return "%d replicas of the old revision are to end" % (status["replicas"] - replicas)
    available = status.get("availableReplicas", 0)
    if available < replicas:
        return "%d of %d replicas are available" % (available, replicas)
    return ""


def newest_label(workload, replica_sets):
    """Return the label, as (key, value), by which the pods of a workload's newest revision are known; None if unknown."""
    if workload["kind"] == "StatefulSet":
        revision = (workload.get("status") or {}).get("updateRevision")
        return ("controller-revision-hash", revision) if revision else None
    annotation = "deployment.kubernetes.io/revision"
    revision = (workload["metadata"].get("annotations") or {}).get(annotation)
    for replica_set in replica_sets:
        metadata = replica_set["metadata"]
        if (
            _owned(replica_set, workload)
            and revision
            and (metadata.get("annotations") or {}).get(annotation) == revision
        ):
            return ("pod-template-hash", metadata["labels"]["pod-template-hash"])
    return None


def _owned(thing, owner):
    return any(o["uid"] == owner["metadata"]["uid"] for o in thing["metadata"].get("ownerReferences") or [])


def pods_of(workload, pods, replica_sets):
    """Return a workload's pods as those of its newest revision and others; pods that end are neither."""
    owners = {workload["metadata"]["uid"]}
    owners |= {rs["metadata"]["uid"] for rs in replica_sets if _owned(rs, workload)}
    mine = [
        pod
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        and any(o["uid"] in owners for o in pod["metadata"].get("ownerReferences") or [])
    ]
    label = newest_label(workload, replica_sets)
    new = [pod for pod in mine if label and (pod["metadata"].get("labels") or {}).get(label[0]) == label[1]]
    return new, [pod for pod in mine if pod not in new]


def condition(thing, kind):
    """Return one of an object's conditions, empty when it has none."""
    for found in (thing.get("status") or {}).get("conditions") or []:
        if found["type"] == kind:
            return found
    return {}


def ready(pod):
    """Return whether a pod is ready."""
    return condition(pod, "Ready").get("status") == "True"


def _containers(pod):
    """Yield (status of a container, the container), init containers first."""
    spec = {c["name"]: c for c in (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]}
    for said in ("initContainerStatuses", "containerStatuses"):
        for status in (pod.get("status") or {}).get(said) or []:
            yield status, spec.get(status["name"], {})


def restarts(pod):
    """Return how often containers of a pod were started again."""
    return sum(status.get("restartCount", 0) for status, container in _containers(pod))


def state(pod):
    """Return a pod's state in a word: running, or what keeps it from that."""
    if "deletionTimestamp" in pod["metadata"]:
        return "terminating"
    phase = (pod.get("status") or {}).get("phase", "Pending")
    for status, container in _containers(pod):
        waiting = status.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "PodInitializing"):
            return waiting["reason"]
        ended = status.get("state", {}).get("terminated")
        if ended and ended.get("exitCode"):
            return ended.get("reason") or "Error"
    if phase == "Pending" and condition(pod, "PodScheduled").get("status") == "False":
        return condition(pod, "PodScheduled").get("reason") or "Pending"
    if phase == "Running":
        return "running"
    return (pod.get("status") or {}).get("reason") or phase


def of_pod(pod, restarts_before=0):
    """Return the Hindrance that a pod is, None for one that is ready."""
    if ready(pod):
        return None
    name = pod["metadata"]["name"]
    for status, container in _containers(pod):
        now = status.get("state") or {}
        found = _of_container(name, status, container, now, restarts_before)
        if found:
            return found
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return Hindrance(
            (name, "scheduling"),
            "pod %s fits on no node (%s: %s)" % (name, scheduled.get("reason"), scheduled.get("message", "")),
            "free or add nodes, or ask for less by the workload's resources",
            pod=name,
        )
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        return Hindrance(
            (name, "failed"), "pod %s failed (%s: %s)" % (name, status.get("reason"), status.get("message")), pod=name
        )
    for status, container in _containers(pod):
        if "running" in (status.get("state") or {}) and not status.get("ready"):
            return Hindrance(
                (name, "unready"),
                "pod %s: container %s runs, but is not ready" % (name, status["name"]),
                "its events say what its probe was told",
                pod=name,
                container=status["name"],
            )
    return Hindrance((name, "pending"), "pod %s is %s" % (name, state(pod)), pod=name)


def _of_container(pod, status, container, now, restarts_before):
    name, waiting = status["name"], now.get("waiting") or {}
    reason, message = waiting.get("reason"), waiting.get("message") or ""
    where = "pod %s: container %s" % (pod, name)
    image = container.get("image") or status.get("image")
    if reason in IMAGE_STATES:
        return Hindrance(
            (pod, "image"),
            "%s: image %s cannot be pulled (%s%s)" % (where, image, reason, ": " + message if message else ""),
            "bring it to the registry that the nodes pull from: playbooks/images.yml for image_registry, or playbooks/bundle.yml and "
            "playbooks/cluster.yml for a cluster of this inventory",
            ON_IMAGE_S,
            pod,
        )
    if reason in CONFIG_STATES:
        return Hindrance(
            (pod, "config"),
            "%s cannot be made (%s: %s)" % (where, reason, message),
            "the object or key that it names must be there before it",
            ON_CONFIG_S,
            pod,
        )
    ended = now.get("terminated") or (status.get("lastState") or {}).get("terminated") or {}
    crashes = status.get("restartCount", 0)
    down = "terminated" in now or reason == "CrashLoopBackOff"
    if down and ended.get("exitCode") == CONFIGURATION_ERROR:
        return Hindrance(
            (pod, "refused"),
            "%s refuses its configuration (exit code %d)" % (where, CONFIGURATION_ERROR),
            "its log names the variable, its value and what is expected",
            0,
            pod,
            name,
            previous="waiting" in now,
        )
    if down and (ended.get("exitCode") or reason == "CrashLoopBackOff"):
        # One that was in it before may have waited for what has come meanwhile.
        clear = crashes >= CRASHES and crashes > restarts_before
        return Hindrance(
            (pod, "crash"),
            "%s ended with exit code %s (%s), started again %d times"
            % (where, ended.get("exitCode"), ended.get("reason") or "Error", crashes),
            "raise its memory limit" if ended.get("reason") == "OOMKilled" else "its log says why",
            0 if clear else NEVER,
            pod,
            name,
            previous="waiting" in now,
        )
    return None


def of_claim(claim, workload, events):
    """Return the Hindrance that a claim for a volume is, None for one that is bound or may still be."""
    name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
    if (claim.get("status") or {}).get("phase") != "Pending":
        return None
    about = [e for e in events if (e.get("involvedObject") or {}).get("name") == name]
    for event in about:
        message = event.get("message") or ""
        gone = "storageclass" in message and "not found" in message
        if gone or "no storage class is set" in message:
            return Hindrance(
                (name, "claim"),
                "volume claim %s: %s"
                % (name, "there is no storage class %s" % claim["spec"].get("storageClassName") if gone else message),
                "set workload_storage_class to one that `kubectl get storageclasses` lists, or make one (playbooks/admin.yml); what was made keeps "
                "its class, so delete it: kubectl -n %s delete %s pvc/%s" % (namespace, title(workload), name),
                ON_CLAIM_S,
                claim=name,
            )
    return None


def of_creation(workload, events):
    """Return the Hindrance that keeps a workload's pods from being created, if any."""
    failure = condition(workload, "ReplicaFailure")
    message = failure.get("message") or "" if failure.get("status") == "True" else ""
    uid = workload["metadata"]["uid"]
    if not message and workload["kind"] == "StatefulSet":
        # It says so in events only, the newest of which counts.
        made = [
            e
            for e in events
            if e["involvedObject"].get("uid") == uid
            and e.get("reason") in ("FailedCreate", "SuccessfulCreate", "SuccessfulDelete")
        ]
        last = max(made, key=when, default={})
        message = last.get("message") or "" if last.get("reason") == "FailedCreate" else ""
    # A volume claim on its way out makes room for a new one by itself.
    if not message or message.endswith(" is being deleted"):
        return None
    for said, patience in (
        (kubernetes_refusal.quota(message), ON_QUOTA_S),
        (kubernetes_refusal.terminating(message), 0),
    ):
        if said:
            return Hindrance((title(workload), "create"), "its pods cannot be created: " + said, "", patience)
    advice = next((advice for said, advice in CREATION if said in message), "")
    return Hindrance((title(workload), "create"), "its pods cannot be created: " + message, advice, ON_REFUSAL_S)


def when(event):
    """Return when an event was last seen, comparable."""
    series = event.get("series") or {}
    return (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
        or ""
    )


def told(events, names, most=6):
    """Return the newest events of the objects named, each once, as lines, the oldest first."""
    lines = {}
    for event in sorted(events, key=when, reverse=True):
        about = event.get("involvedObject") or {}
        if about.get("name") in names and event.get("type") != "Normal":
            text = " ".join((event.get("message") or "").split())
            lines.setdefault(
                (event.get("reason"), text),
                "%s %s %s: %s" % (when(event)[11:19], about["name"], event.get("reason"), text),
            )
    return list(lines.values())[:most][::-1]
