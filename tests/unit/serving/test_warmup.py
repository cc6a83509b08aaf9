from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import structlog
import tensorflow as tf
from cctv_serving import flags, inference, messages, warmup
from cctv_serving.loader import Loader
from cctv_serving.monitoring import Monitoring
from cctv_serving.settings import Settings
from cctv_serving.status import ServingError
from cctv_serving.versions import NoModel, Version
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

Log = prediction_log_pb2.PredictionLog


@pytest.fixture
def folder(tmp_path: Path, half_plus_two: Path) -> Path:
    return Path(shutil.copytree(half_plus_two, tmp_path / "1"))


def write(folder: Path, *records: bytes) -> None:
    (folder / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(folder.joinpath(*warmup.FILE))) as out:
        for record in records:
            out.write(record)


def predict_log(alias: str = "x") -> bytes:
    request = predict_pb2.PredictRequest()
    request.inputs[alias].CopyFrom(tf.make_tensor_proto([[1.0]]))
    content: bytes = Log(predict_log={"request": request}).SerializeToString()
    return content


def load(folder: Path, *arguments: str) -> tuple[int, str]:
    """Returns how many requests the model was warmed up by, and what was counted."""
    monitoring = Monitoring()
    with structlog.testing.capture_logs() as told:
        given = flags.parse(["--model_base_path=/x", *arguments])
        loader = Loader(given, Settings(), structlog.get_logger(), monitoring, lambda *_: None)
        loader("m", Version(1, folder)).close()
    (loaded,) = told
    return loaded["warm_up_requests"], monitoring.page()


def test_requests_of_every_kind(folder: Path) -> None:
    said = input_pb2.Input()
    said.example_list.examples.add()
    regress = regression_pb2.RegressionRequest(input=said, model_spec={"signature_name": "regress_x_to_y"})
    classify = classification_pb2.ClassificationRequest(input=said, model_spec={"signature_name": "classify_x_to_y"})
    several = inference_pb2.MultiInferenceRequest(input=said)
    spec = {"name": "m", "signature_name": "regress_x_to_y"}
    several.tasks.add(model_spec=spec, method_name=inference.REGRESS)
    write(
        folder,
        predict_log(),
        Log(regress_log={"request": regress}).SerializeToString(),
        Log(classify_log={"request": classify}).SerializeToString(),
        Log(multi_inference_log={"request": several}).SerializeToString(),
    )
    count, page = load(folder)
    assert count == 4
    assert f':model_warmup_records_read{{model_path="{folder}",status="OK"}} 4\n' in page
    assert f':model_warmup_latency_count{{model_path="{folder}",status="OK"}} 1\n' in page


def test_a_model_without_any_is_warmed_up_by_what_suits_it(folder: Path) -> None:
    assert load(folder)[0] == 1


def test_it_can_be_left_out(folder: Path) -> None:
    write(folder, predict_log("wrong"))
    assert load(folder, "--enable_model_warmup=false")[0] == 0


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (predict_log("wrong"), "input tensor alias not found in signature: wrong"),
        (b"\xff\xff", "Failed to parse warmup record"),
        (Log(session_run_log={}).SerializeToString(), "Unsupported log_type for warmup: session_run_log"),
    ],
)
def test_a_model_whose_own_request_fails_is_not_served(folder: Path, record: bytes, message: str) -> None:
    write(folder, predict_log(), record)
    with pytest.raises(NoModel, match=f"the model's own warm-up request fails: .*{message}"):
        load(folder)


def test_a_file_that_is_cut_off_is_told(folder: Path) -> None:
    write(folder, predict_log())
    path = folder.joinpath(*warmup.FILE)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(NoModel, match="tf_serving_warmup_requests: "):
        load(folder)


class TestBatchingParameters:
    def test_a_models_own(self, folder: Path) -> None:
        (folder / "batching_params.pbtxt").write_text("max_batch_size { value: 4 }")
        given = flags.parse(["--model_base_path=/x", "--enable_batching", "--enable_per_model_batching_parameters"])
        loader = Loader(given, Settings(), structlog.get_logger(), Monitoring(), lambda *_: None)
        model = loader("m", Version(1, folder))
        assert model.batches is not None
        with pytest.raises(ServingError, match="larger than maximum input batch size 4"):
            model.batches.run({"x": tf.zeros([5, 1]).numpy()}, ("y:0",), 20, lambda: True)
        model.close()
        (folder / "batching_params.pbtxt").unlink()
        model = loader("m", Version(1, folder))
        assert model.batches is None
        model.close()

    def test_a_wrong_file_is_told(self, folder: Path, tmp_path: Path) -> None:
        (folder / "batching_params.pbtxt").write_text("max_batch_size: 4")
        given = flags.parse(["--model_base_path=/x", "--enable_batching", "--enable_per_model_batching_parameters"])
        loader = Loader(given, Settings(), structlog.get_logger(), Monitoring(), lambda *_: None)
        with pytest.raises(NoModel, match="Error parsing text-format"):
            loader("m", Version(1, folder))
        wrong = flags.parse(
            ["--model_base_path=/x", "--enable_batching", f"--batching_parameters_file={tmp_path / 'none'}"]
        )
        with pytest.raises(messages.WrongFile, match="none cannot be read"):
            Loader(wrong, Settings(), structlog.get_logger(), Monitoring(), lambda *_: None)
