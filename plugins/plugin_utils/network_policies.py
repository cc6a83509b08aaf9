# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who in the pipeline may speak with whom: the arrows of the design, and nothing beside them.

Probes come from a pod's own node, which Kubernetes lets pass whatever a policy says.
"""

from __future__ import annotations

from ansible_collections.cctv.pipeline.plugins.module_utils.metrics_ports import METRICS_PORTS

ANYWHERE = "anywhere"

# From, to, and the port's name in the container that listens.
ARROWS = (
    ("zookeeper", "zookeeper", ("peer", "election")),
    ("kafka", "zookeeper", ("client",)),
    ("kafka", "kafka", ("kafka",)),
    ("kafka-topics", "kafka", ("kafka",)),
    ("producer", "kafka", ("kafka",)),
    ("consumer", "kafka", ("kafka",)),
    ("consumer", "tf-serving", ("grpc", "rest")),
    ("video", "kafka", ("kafka",)),
    (ANYWHERE, "video", ("http",)),
    ("spark-driver", "kafka", ("kafka",)),
    ("spark-driver", "spark-executor", ("block-manager",)),
    ("spark-executor", "spark-driver", ("driver", "block-manager")),
    ("spark-executor", "spark-executor", ("block-manager",)),
    ("spark-executor", "kafka", ("kafka",)),
    ("archiver", "kafka", ("kafka",)),
    ("filebeat", "kafka", ("kafka",)),
    ("filebeat", "elasticsearch", ("search",)),
    ("elasticsearch-indices", "elasticsearch", ("search",)),
    ("ui", "elasticsearch", ("search",)),
    (ANYWHERE, "ui", ("http",)),
)
NAME = "app.kubernetes.io/name"
COMPONENT = "app.kubernetes.io/component"
DNS = {
    "to": [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}},
        # A cache on each node, where there is one.
        {"ipBlock": {"cidr": "169.254.20.10/32"}},
    ],
    "ports": [{"protocol": protocol, "port": 53} for protocol in ("UDP", "TCP")],
}


def party(workload):
    """Return the name in ARROWS for a completed Deployment or StatefulSet: its own, or that of all cameras' producers."""
    metadata = workload["metadata"]
    component = metadata["labels"][COMPONENT]
    return component if component == "producer" else metadata["name"]


def selector(name):
    """Return the selector of a party's pods."""
    return {"matchLabels": {COMPONENT if name == "producer" else NAME: name}}


def network_policies(workloads, metrics_from):
    """Return a NetworkPolicy for each party among ``workloads``. ``metrics_from``: peers that may read metrics."""
    parties = {}
    for workload in workloads:
        parties.setdefault(party(workload), _port_names(workload))
    return [_policy(name, ports, metrics_from) for name, ports in parties.items()]


def _port_names(workload):
    containers = workload["spec"]["template"]["spec"].get("containers", [])
    return [port.get("name") for container in containers for port in container.get("ports", [])]


def _policy(name, ports, metrics_from):
    ingress = [
        _rule(
            [port for port in named if port in ports], [] if source == ANYWHERE else [{"podSelector": selector(source)}]
        )
        for source, target, named in ARROWS
        if target == name and set(named) & set(ports)
    ]
    metrics = [port for port in ports if port in METRICS_PORTS]
    if metrics and metrics_from:
        ingress.append(_rule(metrics, metrics_from))
    # The one who listens says on which ports.
    targets = sorted({target for source, target, named in ARROWS if source == name})
    egress = [DNS] + [{"to": [{"podSelector": selector(target)}]} for target in targets]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name},
        "spec": {
            "podSelector": selector(name),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }


def _rule(ports, peers):
    rule = {"ports": [{"protocol": "TCP", "port": port} for port in ports]}
    if peers:
        rule["from"] = peers
    return rule
