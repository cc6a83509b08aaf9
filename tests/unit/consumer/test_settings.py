"""The consumer's environment: what is taken, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cctv_common.settings import explain
from cctv_consumer.labels import CLASSES, LabelsError, imagenet_labels
from cctv_consumer.settings import Settings
from pydantic import ValidationError


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:9092")


def complaints(monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    return "\n".join(explain(Settings, caught.value))


def test_models_by_name_or_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [(m.name, m.handler) for m in Settings().models] == [("imagenet", "imagenet")]
    monkeypatch.setenv("MODELS", "imagenet")
    assert [m.name for m in Settings().models] == ["imagenet"]
    monkeypatch.setenv("MODELS", json.dumps([{"name": "resnet", "handler": "imagenet", "version": 1538687457}]))
    assert [(m.name, m.handler, m.version) for m in Settings().models] == [("resnet", "imagenet", 1538687457)]


@pytest.mark.parametrize("models", ["resnet", '[{"name": "x", "handler": "y"}]', "imagenet,imagenet", "[", "", "[{}]"])
def test_wrong_models_are_named(monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    assert complaints(monkeypatch, MODELS=models).startswith(("MODELS=", "MODELS["))


def test_a_timeout_beyond_the_budget_makes_no_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    said = complaints(monkeypatch, PREDICT_TIMEOUT_MS="900", FRAME_MAX_AGE_MS="800")
    assert "PREDICT_TIMEOUT_MS=900" in said
    assert "FRAME_MAX_AGE_MS=800" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREDICT_PROTOCOL", "http"),
        ("PREDICT_BATCH_SIZE", "0"),
        ("ON_MODEL_FAILURE", "stop"),
        ("JPEG_QUALITY", "101"),
        ("FRAME_MAX_AGE_MS", "soon"),
    ],
)
def test_wrong_values_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert f"{name}='{value}'" in complaints(monkeypatch, **{name: value})


def test_rest_needs_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "TF_SERVING_REST_URLS" in complaints(monkeypatch, PREDICT_PROTOCOL="rest", TF_SERVING_REST_URLS="host:8501")


@pytest.mark.parametrize(
    ("environment", "calls"),
    [
        ({"TF_SERVING_GRPC_TARGET": "ipv4:127.0.0.1:8500,127.0.7.2:8500,127.0.7.3:8500"}, 3),
        ({"TF_SERVING_GRPC_TARGET": "ipv4:127.0.0.1:8500"}, 1),
        ({"TF_SERVING_GRPC_TARGET": "dns:///tf-serving.cctv.svc:8500"}, 2),
        ({"PREDICT_PROTOCOL": "rest", "TF_SERVING_REST_URLS": "http://127.0.0.1:8501, http://127.0.7.2:8501/"}, 2),
        ({"PREDICT_PROTOCOL": "rest", "TF_SERVING_REST_URLS": "http://tf-serving.cctv.svc:8501"}, 2),
        ({"PREDICT_IN_FLIGHT": "5"}, 5),
    ],
)
def test_as_many_calls_as_replicas(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], calls: int) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert Settings().calls == calls


def test_labels_of_the_wheel_are_short_and_begin_with_the_background() -> None:
    labels = imagenet_labels()
    assert len(labels) == CLASSES
    assert labels[0] == "background"
    assert labels[1] == "tench"
    assert "espresso" in labels
    assert not any("," in label for label in labels)


def test_labels_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps(["Hintergrund", *(f"Klasse {n}, Art {n}" for n in range(1000))]))
    assert imagenet_labels(path)[1] == "Klasse 0"


@pytest.mark.parametrize("content", ["", "{}", "[]", '["a", "b"]', json.dumps([1] * CLASSES)])
def test_labels_that_are_none_are_refused_by_the_files_name(tmp_path: Path, content: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(content)
    with pytest.raises(LabelsError, match=r"labels\.json"):
        imagenet_labels(path)
    with pytest.raises(LabelsError, match="absent"):
        imagenet_labels(tmp_path / "absent")
