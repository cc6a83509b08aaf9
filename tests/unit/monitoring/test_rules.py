"""Each alert fires for its trouble, after its time, says what it should, and is quiet otherwise: by promtool itself."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import checkout
import pytest
import yaml
from ansible_collections.cctv.pipeline.plugins.module_utils.metrics_ports import METRICS_PORTS, WITHOUT_METRICS

RULES = checkout.ROOT / "roles/monitoring/files/prometheus/cctv-pipeline.rules.yml"
INTERVAL_S = 30
STEPS = 40  # 20 minutes

ZERO, ONE = f"0x{STEPS}", f"1x{STEPS}"


def grows(step: float) -> str:
    return f"0+{step}x{STEPS}"


# Of each alert: series of the trouble, the same when all is well, labels of what fires.
CASES: dict[str, tuple[dict[str, str], dict[str, str], dict[str, str]]] = {
    "CctvTargetDown": (
        {'up{job="cctv-pipeline", pod="video-0"}': ZERO, 'up{job="other", pod="x"}': ZERO},
        {'up{job="cctv-pipeline", pod="video-0"}': ONE},
        {"job": "cctv-pipeline", "pod": "video-0"},
    ),
    "CctvCameraAway": ({'cctv_camera_up{camera="a"}': ZERO}, {'cctv_camera_up{camera="a"}': ONE}, {"camera": "a"}),
    "CctvCameraUnsteady": (
        {'cctv_camera_reconnects_total{camera="a"}': grows(1), 'cctv_camera_up{camera="a"}': ONE},
        {'cctv_camera_reconnects_total{camera="a"}': grows(0.05), 'cctv_camera_up{camera="a"}': ONE},
        {"camera": "a"},
    ),
    "CctvCameraFrozen": (
        {'cctv_camera_frozen{camera="a"}': ONE},
        {'cctv_camera_frozen{camera="a"}': ZERO},
        {"camera": "a"},
    ),
    "CctvCameraGrey": ({'cctv_camera_grey{camera="a"}': ONE}, {'cctv_camera_grey{camera="a"}': ZERO}, {"camera": "a"}),
    "CctvFramesLostOnTheWay": (
        {
            'cctv_frames_out_total{stage="producer", camera="a", pod="p"}': grows(75),
            'cctv_frames_out_total{stage="video", camera="a", pod="v"}': f"50x{STEPS}",
            'cctv_frames_out_total{stage="video", camera="b", pod="v"}': grows(75),
        },
        {
            'cctv_frames_out_total{stage="producer", camera="a", pod="p"}': grows(75),
            'cctv_frames_out_total{stage="video", camera="a", pod="v"}': grows(75),
        },
        {"camera": "a"},
    ),
    "CctvFramesDropped": (
        {
            'cctv_frames_in_total{stage="consumer", camera="a"}': grows(75),
            'cctv_frames_dropped_total{stage="consumer", camera="a", cause="stale"}': grows(10),
            'cctv_frames_dropped_total{stage="consumer", camera="a", cause="superseded"}': grows(10),
        },
        {
            'cctv_frames_in_total{stage="consumer", camera="a"}': grows(75),
            'cctv_frames_dropped_total{stage="consumer", camera="a", cause="stale"}': grows(10),
        },
        {"stage": "consumer"},
    ),
    "CctvFramesOld": (
        {
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="1"}': grows(90),
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="2"}': grows(100),
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="+Inf"}': grows(100),
        },
        {
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="1"}': grows(99),
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="2"}': grows(100),
            'cctv_frame_age_seconds_bucket{stage="video", camera="a", le="+Inf"}': grows(100),
        },
        {},
    ),
    "CctvBadRecords": (
        {'cctv_frames_dropped_total{stage="video", camera="", cause="not_jpeg"}': grows(1)},
        {'cctv_frames_dropped_total{stage="video", camera="a", cause="stale"}': grows(1)},
        {"stage": "video", "cause": "not_jpeg"},
    ),
    "CctvViewersRefused": (
        {'cctv_video_viewers_refused_total{pod="video-0"}': grows(1)},
        {'cctv_video_viewers_refused_total{pod="video-0"}': f"7x{STEPS}"},
        {"pod": "video-0"},
    ),
    "CctvModelAway": ({'cctv_model_up{model="m"}': ZERO}, {'cctv_model_up{model="m"}': ONE}, {"model": "m"}),
    "CctvModelOverloaded": (
        {
            'cctv_serving_requests_total{api="grpc", method="predict", code="OK"}': grows(90),
            'cctv_serving_requests_total{api="grpc", method="predict", code="RESOURCE_EXHAUSTED"}': grows(10),
        },
        {
            'cctv_serving_requests_total{api="grpc", method="predict", code="OK"}': grows(99),
            'cctv_serving_requests_total{api="grpc", method="predict", code="RESOURCE_EXHAUSTED"}': grows(1),
        },
        {},
    ),
    "CctvKafkaUnderReplicated": (
        {'kafka_server_replicamanager_underreplicatedpartitions{pod="kafka-0"}': ONE},
        {'kafka_server_replicamanager_underreplicatedpartitions{pod="kafka-0"}': ZERO},
        {"pod": "kafka-0"},
    ),
    "CctvTopicNotAsWanted": (
        {'cctv_topic_as_wanted{topic="t"}': ZERO},
        {'cctv_topic_as_wanted{topic="t"}': ONE},
        {"topic": "t"},
    ),
    "CctvDetectionsLost": (
        {"cctv_detection_lost_records_total": grows(1)},
        {"cctv_detection_lost_records_total": f"9x{STEPS}"},
        {},
    ),
    "CctvDetectionFails": (
        {"cctv_detection_query_failures_total": grows(0.25)},
        {"cctv_detection_query_failures_total": f"0x20 1x{STEPS - 20}"},
        {},
    ),
    "CctvImageStoreUnusable": (
        {'cctv_archiver_store_unusable{reason="full"}': ONE},
        {'cctv_archiver_store_unusable{reason="full"}': ZERO},
        {"reason": "full"},
    ),
    "CctvImagesLost": (
        {"cctv_archiver_records_missed_total": grows(1)},
        {"cctv_archiver_records_missed_total": f"9x{STEPS}"},
        {},
    ),
    "CctvDetectionsWait": (
        {'cctv_kafka_group_lag_records{group="filebeat", topic="detections"}': f"2000x{STEPS}"},
        {
            'cctv_kafka_group_lag_records{group="filebeat", topic="detections"}': f"900x{STEPS}",
            'cctv_kafka_group_lag_records{group="mine", topic="detections"}': f"9999x{STEPS}",
        },
        {"group": "filebeat", "topic": "detections"},
    ),
    "CctvSearchNotAsWanted": (
        {'cctv_indices_as_wanted{what="blocks"}': ZERO},
        {'cctv_indices_as_wanted{what="blocks"}': ONE},
        {"what": "blocks"},
    ),
    "CctvDeadLetters": ({"cctv_dead_letters": ONE}, {"cctv_dead_letters": ZERO}, {}),
    "CctvPagesIncomplete": (
        {'cctv_ui_dependency_up{dependency="elasticsearch"}': ZERO},
        {'cctv_ui_dependency_up{dependency="elasticsearch"}': ONE},
        {"dependency": "elasticsearch"},
    ),
}


def rules() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}


def said(text: str, labels: dict[str, str]) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda found: labels[found[1]], text)


def test_every_alert_has_a_case() -> None:
    assert list(CASES) == list(rules())


def test_alerts_fire_for_their_trouble_and_for_nothing_else(tmp_path: Path) -> None:
    tests = []
    for name, (trouble, well, labels) in CASES.items():
        rule = rules()[name]
        fires = {
            "exp_labels": {**labels, **rule["labels"]},
            "exp_annotations": {key: said(text, labels) for key, text in rule["annotations"].items()},
        }
        minutes = int(rule.get("for", "0m").removesuffix("m"))
        patient = [{"eval_time": f"{INTERVAL_S}s", "alertname": name, "exp_alerts": []}] if minutes else []
        tests.append(
            {
                "interval": f"{INTERVAL_S}s",
                "input_series": [{"series": series, "values": values} for series, values in trouble.items()],
                "alert_rule_test": [*patient, {"eval_time": "18m", "alertname": name, "exp_alerts": [fires]}],
            }
        )
        tests.append(
            {
                "interval": f"{INTERVAL_S}s",
                "input_series": [{"series": series, "values": values} for series, values in well.items()],
                "alert_rule_test": [
                    {"eval_time": f"{at}m", "alertname": alert, "exp_alerts": []} for at in (2, 18) for alert in CASES
                ],
            }
        )
    file = tmp_path / "tests.json"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL_S}s", "tests": tests}))
    ran = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("rule", rules().values(), ids=list(rules()))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description"}


def test_prometheus_asks_the_ports_that_everything_else_does() -> None:
    own = yaml.safe_load((checkout.ROOT / "roles/monitoring/vars/main.yml").read_text())
    assert tuple(own["__monitoring_ports"]) == METRICS_PORTS
    assert tuple(own["__monitoring_without"]) == WITHOUT_METRICS
