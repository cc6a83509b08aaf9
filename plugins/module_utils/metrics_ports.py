# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the pipeline's pods have metrics."""

from __future__ import annotations

METRICS_PORTS = ("metrics", "health", "rest", "http")
"""Ports that have metrics, by their names; the role monitoring has them too."""
WITHOUT_METRICS = ("filebeat",)
"""Components that have none that Prometheus reads, whatever their ports are called."""


def has_metrics(pod):
    """Return whether a pod can be asked for metrics."""
    return pod["component"] not in WITHOUT_METRICS and bool(set(METRICS_PORTS) & set(pod["ports"]))
