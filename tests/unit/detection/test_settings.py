"""The driver's environment: what is wrong in it is said in one line."""

from __future__ import annotations

import pytest
from cctv_common.settings import EXIT_CONFIG, load
from cctv_detection.select import Camera
from cctv_detection.settings import Settings

NEEDED = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "DETECTION_MODELS_DIR": "/models",
    "DETECTION_CHECKPOINT_DIR": "/checkpoint",
    "DETECTION_JARS_DIR": "/jars",
}
CLUSTER = {
    "SPARK_MASTER": "k8s://https://kubernetes.default.svc",
    "DETECTION_EXECUTOR_IMAGE": "detection:1",
    "DETECTION_EXECUTOR_TEMPLATE": "/etc/executor.yaml",
    "DETECTION_DRIVER_HOST": "spark-driver.cctv.svc",
    "POD_NAME": "spark-driver-0",
    "POD_NAMESPACE": "cctv",
}


def read(monkeypatch: pytest.MonkeyPatch, **more: str) -> Settings:
    for name, value in (NEEDED | more).items():
        monkeypatch.setenv(name, value)
    return load(Settings)


def test_cores_are_those_of_the_machine_or_of_all_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, SPARK_MASTER="local[3]").cores == 3
    many = {"DETECTION_EXECUTORS": "4", "DETECTION_EXECUTOR_CORES": "2"}
    assert read(monkeypatch, **CLUSTER, **many).cores == 8


def test_cameras_have_what_is_said_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said = '{"gate": {"every": 5, "blur_faces": true}}'
    cameras = read(monkeypatch, DETECTION_CAMERAS=said, DETECTION_EVERY="7").cameras
    assert cameras.of("gate") == Camera(every=5, blur_faces=True)
    assert cameras.of("yard") == Camera(every=7)


def test_workers_are_told_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    secured = {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "me", "KAFKA_SASL_PASSWORD": "s3cret"}
    assert "s3cret" not in repr(read(monkeypatch, **secured).work)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"DETECTION_CAMERAS": "gate"}, "DETECTION_CAMERAS='gate': is no JSON"),
        ({"DETECTION_CAMERAS": '{"gate": {"every": -1}}'}, "DETECTION_CAMERAS['gate']['every']=-1: "),
        ({"DETECTION_EVERY": "often"}, "DETECTION_EVERY='often': "),
        ({"DETECTION_OBJECT_DETECTOR": "yolo"}, "DETECTION_OBJECT_DETECTOR='yolo': expected centernet"),
        ({"DETECTION_FACE_DETECTOR": "dlib"}, "DETECTION_FACE_DETECTOR='dlib': expected blazeface or haar or none"),
        (
            {"DETECTION_FACE_DETECTOR": "none", "DETECTION_BLUR_FACES": "true"},
            "DETECTION_FACE_DETECTOR=none: expected blazeface or haar, as ",
        ),
        ({"SPARK_MASTER": "yarn"}, "SPARK_MASTER='yarn': expected local[CORES] or k8s://URL"),
        ({"SPARK_MASTER": "local[*]"}, "SPARK_MASTER='local[*]': expected local[CORES] or k8s://URL"),
        (CLUSTER | {"POD_NAME": ""}, "POD_NAME is not set; expected a value, as SPARK_MASTER=k8s://"),
        ({"DETECTION_DRIVER_MEMORY": "1Gi"}, "DETECTION_DRIVER_MEMORY='1Gi': "),
        ({"DETECTION_FACE_MIN_SCORE": "2"}, "DETECTION_FACE_MIN_SCORE='2': "),
    ],
)
def test_a_wrong_value_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: dict[str, str], said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        read(monkeypatch, **wrong)
    assert ended.value.code == EXIT_CONFIG
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)
