# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How frames flow, by what all pods counted between two looks. Pure: metrics in, lines of text out."""

from __future__ import annotations

import re

from ansible_collections.cctv.pipeline.plugins.module_utils.table import lines

SAMPLE = re.compile(r"^(cctv_\w+)\{([^}]*)\} ([0-9.eE+-]+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
STAGES = ("producer", "consumer", "serving", "video", "detection", "archiver")
AGE = "cctv_frame_age_seconds_bucket"


class Look:
    """What pods said at one time; ``texts``: pod -> its metrics."""

    def __init__(self, texts, at):
        self.at = at
        self._pods = {pod for pod, text in texts.items() if text}
        self.samples = {
            (pod, name, tuple(sorted(LABEL.findall(labels)))): float(value)
            for pod, text in texts.items()
            for name, labels, value in SAMPLE.findall(text)
        }

    def since(self, before):
        """Return (name, labels) -> what was counted a second since an earlier look, of all pods together."""
        grown = {}
        for key, value in self.samples.items():
            # What a pod that was there counts for the first time began at nothing.
            earlier = before.samples.get(key, 0.0)
            if key[0] in before._pods:
                # A pod that was started anew counts from nothing.
                rate = (value - earlier if value >= earlier else value) / (self.at - before.at)
                grown[key[1:]] = grown.get(key[1:], 0.0) + rate
        return grown

    def now(self):
        """Return (name, labels) -> the sum of all pods."""
        found = {}
        for key, value in self.samples.items():
            found[key[1:]] = found.get(key[1:], 0.0) + value
        return found


class Rates:
    """Figures of the time between two looks."""

    def __init__(self, before, after):
        self._rates = after.since(before)
        self._now = after.now()

    def rate(self, name, **labels):
        """Return how much all counters with these labels grew a second; None when there is none."""
        return _sum(self._rates, name, labels)

    def now(self, name, **labels):
        """Return the sum of all gauges with these labels; None when there is none."""
        return _sum(self._now, name, labels)

    def values(self, name, label):
        """Return which values a label has."""
        return sorted({dict(labels)[label] for found, labels in self._now if found == name and label in dict(labels)})

    def causes(self, stage):
        """Return why frames were dropped, the most frequent cause first."""
        causes = {}
        for (name, labels), rate in self._rates.items():
            said = dict(labels)
            if name == "cctv_frames_dropped_total" and said["stage"] == stage and rate > 0:
                causes[said["cause"]] = causes.get(said["cause"], 0.0) + rate
        return ", ".join(sorted(causes, key=lambda cause: -causes[cause]))

    def age_ms(self, part, **labels):
        """Return the age, in ms, that ``part`` of the frames did not exceed; None when there were none."""
        buckets = {}
        for (name, found), rate in self._rates.items():
            said = dict(found)
            if name == AGE and labels.items() <= said.items():
                bound = float(said["le"].replace("+Inf", "inf"))
                buckets[bound] = buckets.get(bound, 0.0) + rate
        total = buckets.get(float("inf"), 0.0)
        if total <= 0:
            return None
        low, below = 0.0, 0.0
        for bound in sorted(buckets):
            if buckets[bound] >= part * total:
                if bound == float("inf"):
                    return 1000 * low
                within = buckets[bound] - below
                return 1000 * (low + (bound - low) * ((part * total - below) / within if within else 1.0))
            low, below = bound, buckets[bound]
        return 1000 * low


def _sum(samples, name, labels):
    found = [value for (of, said), value in samples.items() if of == name and labels.items() <= dict(said).items()]
    return sum(found) if found else None


def _cell(value, form="%.1f"):
    return "-" if value is None else form % value


def stages(rates):
    """Return a table of every hop that counts."""
    rows = [["stage", "in/s", "out/s", "dropped/s", "age p50 ms", "p95", "waiting", "in Kafka", "dropped because"]]
    for stage in STAGES:
        of = {"stage": stage}
        figures = [rates.rate("cctv_frames_%s_total" % way, **of) for way in ("in", "out", "dropped")]
        waiting, lag = rates.now("cctv_frames_waiting", **of), rates.now("cctv_kafka_lag_records", **of)
        if stage == "serving":
            figures = [
                rates.rate("cctv_serving_requests_total"),
                rates.rate("cctv_serving_requests_total", code="OK"),
                None,
            ]
        if figures[0] is not None or waiting is not None or lag is not None:
            rows.append(
                [stage]
                + [_cell(figure) for figure in figures]
                + [_cell(rates.age_ms(part, **of), "%.0f") for part in (0.5, 0.95)]
                + [_cell(waiting, "%.0f"), _cell(lag, "%.0f"), rates.causes(stage)]
            )
    return lines(rows, right=range(1, 8))


def cameras(rates):
    """Return a table of every camera."""
    rows = [["camera", "state", "read/s", "sent/s", "predicted/s", "shown/s", "age p50 ms", "p95"]]
    for camera in rates.values("cctv_frames_in_total", "camera") or rates.values("cctv_camera_up", "camera"):
        of = {"camera": camera}
        rows.append(
            [camera, _state(rates, of), _cell(rates.rate("cctv_camera_frames_read_total", **of))]
            + [
                _cell(rates.rate("cctv_frames_out_total", stage=stage, **of))
                for stage in ("producer", "consumer", "video")
            ]
            + [_cell(rates.age_ms(part, stage="video", **of), "%.0f") for part in (0.5, 0.95)]
        )
    return lines(rows, right=range(2, 8))


def _state(rates, of):
    for gauge, state in (("cctv_camera_frozen", "frozen"), ("cctv_camera_grey", "grey")):
        if rates.now(gauge, **of):
            return state
    up = rates.now("cctv_camera_up", **of)
    return "?" if up is None else "live" if up else "away"
