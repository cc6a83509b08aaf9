from __future__ import annotations

from pathlib import Path

import pytest
from cctv_serving import config, messages
from cctv_serving.config import Config
from cctv_serving.status import ServingError
from google.protobuf import text_format

# The form of TensorFlow Serving's documentation.
DOCUMENTED = """
model_config_list {
  config {
    name: 'my_first_model'
    base_path: '/tmp/my_first_model/'
    model_platform: 'tensorflow'
    model_version_policy {
      specific {
        versions: 42
        versions: 43
      }
    }
    version_labels {
      key: 'stable'
      value: 42
    }
    version_labels {
      key: 'canary'
      value: 43
    }
  }
  config {
    name: 'my_second_model'
    base_path: '/tmp/my_second_model/'
    model_platform: 'tensorflow'
  }
}
"""


def test_the_documented_file(tmp_path: Path) -> None:
    (tmp_path / "models.config").write_text(DOCUMENTED)
    models = config.models(messages.read(tmp_path / "models.config", Config))
    assert list(models) == ["my_first_model", "my_second_model"]
    first = models["my_first_model"]
    assert list(first.model_version_policy.specific.versions) == [42, 43]
    assert dict(first.version_labels) == {"stable": 42, "canary": 43}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: 'x' base_path: '/x'", "Illegal setting neither ModelServerConfig::model_type (deprecated)"),
        ("name: 'x' base_path: '/x' model_platform: 'tensorflow' model_type: TENSORFLOW", "Illegal setting both"),
        ("name: 'x' base_path: '/x' model_type: OTHER", "model_type choice 2 not supported."),
        ("name: 'x' base_path: '/x' model_platform: 'torch'", "Model x requests unsupported platform torch"),
        ("name: 'x' base_path: 'x' model_platform: 'tensorflow'", "Expected model x to have an absolute path or URI"),
        (
            "name: 'x' base_path: '/x' model_platform: 'tensorflow' } config { name: 'x' base_path: '/y'",
            "Illegal to list model x multiple times in config list",
        ),
    ],
)
def test_what_the_real_server_refuses(text: str, message: str) -> None:
    wrong = text_format.Parse(f"model_config_list {{ config {{ {text} }} }}", Config())
    with pytest.raises(ServingError) as told:
        config.models(wrong)
    assert message in told.value.message


def test_the_older_name_of_the_platform() -> None:
    said = "model_config_list { config { name: 'x' base_path: '/x' model_type: TENSORFLOW } }"
    assert list(config.models(text_format.Parse(said, Config()))) == ["x"]


class TestFiles:
    def test_batching_parameters_of_the_documentation(self, tmp_path: Path) -> None:
        (tmp_path / "batching.config").write_text(
            "max_batch_size { value: 128 }\nbatch_timeout_micros { value: 0 }\n"
            "max_enqueued_batches { value: 1000000 }\nnum_batch_threads { value: 8 }\nallowed_batch_sizes: 128"
        )
        said = messages.read(tmp_path / "batching.config", messages.BatchingParameters)
        assert (said.max_batch_size.value, said.num_batch_threads.value) == (128, 8)
        assert said.HasField("batch_timeout_micros")
        assert not said.HasField("thread_pool_name")
        assert list(said.allowed_batch_sizes) == [128]

    def test_monitoring_of_the_documentation(self, tmp_path: Path) -> None:
        (tmp_path / "monitoring.config").write_text(
            'prometheus_config {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}'
        )
        said = messages.read(tmp_path / "monitoring.config", messages.MonitoringConfig)
        assert said.prometheus_config.enable
        assert said.prometheus_config.path == "/monitoring/prometheus/metrics"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, " cannot be read: No such file or directory"),
            (b"\xff\xfe", " is no text: expected a ModelServerConfig as text"),
            (b"model_list {}", ": Error parsing text-format tensorflow.serving.ModelServerConfig: 1:1"),
            (b"model_config_list {", ": Error parsing text-format tensorflow.serving.ModelServerConfig: "),
        ],
    )
    def test_a_wrong_file_is_one_line(self, content: bytes | None, message: str, tmp_path: Path) -> None:
        path = tmp_path / "models.config"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(messages.WrongFile) as told:
            messages.read(path, Config)
        assert str(told.value).startswith(f"{path}{message}")
        assert "\n" not in str(told.value)
