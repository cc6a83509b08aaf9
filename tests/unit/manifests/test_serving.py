"""That the model server is given files that it understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.cctv.pipeline.plugins.module_utils.local_pods import Store
from cctv_serving import config, flags, messages
from cctv_serving.batching import Parameters
from cctv_serving.config import Config

from .conftest import Render


def files(made: dict[str, Any]) -> dict[str, str]:
    (found,) = (m["data"] for m in made["manifests"] if m["metadata"]["name"] == "tf-serving-config")
    return found


def arguments(made: dict[str, Any]) -> list[str]:
    (pod,) = (m["spec"]["template"]["spec"] for m in made["manifests"] if m["kind"] == "Deployment")
    return pod["containers"][0]["args"]


def read(folder: Path, text: str, kind: Any) -> Any:
    (folder / "file").write_text(text)
    return messages.read(folder / "file", kind)


def test_the_server_understands_what_is_asked_for(render: Render, tmp_path: Path) -> None:
    made = render(
        "tf_serving",
        tf_serving_model_claim="models",
        tf_serving_model_path='traffic "A"',
        tf_serving_versions=2,
        tf_serving_version_labels={"stable": 3, "canary": 4},
        tf_serving_more_models=[
            {"name": "all", "path": "x", "versions": "all"},
            {"name": "some", "path": "y", "versions": [1, 7]},
            {"name": "newest", "path": "z"},
        ],
        tf_serving_batching={"max_batch_size": 8, "batch_timeout_micros": 2000, "allowed_batch_sizes": [4, 8]},
    )["tf_serving"]
    assert made["problems"] == []
    models = config.models(read(tmp_path, files(made)["models.config"], Config))
    assert {name: model.base_path.removeprefix("/mnt/models/") for name, model in models.items()} == {
        "imagenet": 'traffic "A"',
        "all": "x",
        "some": "y",
        "newest": "z",
    }
    policies = {name: model.model_version_policy for name, model in models.items()}
    assert policies["imagenet"].latest.num_versions == 2
    assert policies["all"].WhichOneof("policy_choice") == "all"
    assert list(policies["some"].specific.versions) == [1, 7]
    assert policies["newest"].latest.num_versions == 1
    assert dict(models["imagenet"].version_labels) == {"stable": 3, "canary": 4}
    said = read(tmp_path, files(made)["batching.config"], messages.BatchingParameters)
    parameters = Parameters.of(said)
    assert (parameters.max_batch_size, parameters.timeout_s, parameters.allowed_batch_sizes) == (8, 0.002, (4, 8))
    assert read(tmp_path, files(made)["monitoring.config"], messages.MonitoringConfig).prometheus_config.enable
    given = flags.parse(arguments(made))
    assert (given.enable_batching, given.model_config_file) == (True, Path("$(TF_SERVING_CONFIG)/models.config"))
    assert given.allow_version_labels_for_unavailable_models
    assert given.no_effect == ()


def test_what_is_not_asked_for_is_left_out_and_one_machine_finds_the_rest(render: Render) -> None:
    made = render("tf_serving", workload_runtime="local", local_runtime_data="/data")["tf_serving"]
    pod, other = Store({"tf_serving": {"manifests": made["manifests"], "environment": {}}}, "127.10").pods()
    for path in (word.partition("=")[2] for word in pod.argv if "_config_file=" in word):
        __, volume, key = path.split("\0")
        assert key.removeprefix("/") in pod.files[volume]
    assert pod.argv == other.argv
    assert list(files(made)) == ["monitoring.config"]
    assert not [one for one in arguments(made) if "batching" in one or "model_config" in one]


def test_what_cannot_work_is_told(render: Render) -> None:
    told = render(
        "tf_serving",
        tf_serving_versions="few",
        tf_serving_more_models=[{"name": "imagenet", "path": "/x"}],
        tf_serving_batching={"max_batch_size": 8, "allowed_batch_sizes": [2, 4]},
        tf_serving_rest_timeout_ms=0,
        tf_serving_engine="openvino",
        tf_serving_program="tensorflow_model_server",
    )["tf_serving"]["problems"]
    expected = (
        "tf_serving_rest_timeout_ms=0: expected a number from 1 on",
        "tf_serving_engine=openvino: tensorflow_model_server has none but TensorFlow; expected tensorflow",
        "tf_serving_batching: allowed_batch_sizes=2,4: "
        "expected rising numbers, the last of them max_batch_size, which is 8",
        "tf_serving_versions=few: expected a number from 1 on, all, or a list of versions",
        "tf_serving_more_models[0].name=imagenet: expected a name of its own for each model",
    )
    assert sorted(told) == sorted(expected)
