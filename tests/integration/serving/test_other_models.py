"""Models that are not the built-in one drop in, above all the form of TensorFlow's own ResNet of 2018."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import requests
import tensorflow as tf

from .conftest import Start

VERSION = 1538687457

# A TensorFlow 1 graph with variables, an initializer and a map over JPEG strings, exported by the builder of that time,
# as resnet_v2_fp32_savedmodel_NHWC_jpg is. Its answer is the mean brightness of an image, so that a test knows it.
RESNET_FORM = """if True:
    import sys
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    with tf.Graph().as_default(), tf.Session() as session:
        image_bytes = tf.placeholder(tf.string, [None], "input_tensor")

        def preprocess(one):
            image = tf.image.decode_jpeg(one, 3)
            return tf.image.resize_bilinear(tf.cast([image], tf.float32), [8, 8])[0]

        images = tf.map_fn(preprocess, image_bytes, tf.float32)
        scale = tf.get_variable("scale", [], initializer=tf.constant_initializer(1.0))
        brightness = tf.reduce_mean(images, [1, 2, 3]) * scale
        labels = tf.range(1001, dtype=tf.float32)
        probabilities = tf.nn.softmax(-tf.abs(brightness[:, None] - labels), name="softmax_tensor")
        classes = tf.argmax(probabilities, 1, name="ArgMax")
        session.run(tf.global_variables_initializer())
        builder = tf.saved_model.Builder(sys.argv[1])
        signature = tf.saved_model.predict_signature_def(
            {"image_bytes": image_bytes}, {"classes": classes, "probabilities": probabilities}
        )
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"predict": signature, "serving_default": signature}
        )
        builder.save()
"""

# TensorFlow 2, inputs and outputs of several types and names.
SEVERAL_TENSORS = """if True:
    import sys
    import tensorflow as tf

    class Model(tf.Module):
        @tf.function(input_signature=[
            tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([None], tf.string, "name")
        ])
        def serve(self, x, name):
            return {
                "sum": tf.reduce_sum(x, 1),
                "greeting": tf.strings.join(["hello ", name]),
                "raw_bytes": name,
                "ratio": x[:, 0] / x[:, 1],
            }

    model = Model()
    tf.saved_model.save(model, sys.argv[1], signatures={"serving_default": model.serve})
"""


def export(script: str, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", script, str(folder)], check=True, capture_output=True, timeout=120)


def gray(value: int) -> bytes:
    content: bytes = tf.io.encode_jpeg(np.full([40, 60, 3], value, np.uint8)).numpy()
    return content


def test_the_seeds_resnet_drops_in(start: Start, tmp_path: Path) -> None:
    export(RESNET_FORM, tmp_path / "resnet" / str(VERSION))
    server = start(tmp_path / "resnet", model="resnet")
    images = [gray(40), gray(200)]
    request = server.request(*images)
    for signature in ("", "serving_default", "predict"):
        request.model_spec.signature_name = signature
        answer = server.predictions.Predict(request, timeout=20)
        assert list(answer.outputs["classes"].int64_val) == [40, 200]
        assert tf.make_ndarray(answer.outputs["probabilities"]).shape == (2, 1001)
        assert answer.model_spec.version.value == VERSION
    body = {"instances": [{"b64": base64.b64encode(image).decode()} for image in images]}
    predictions = requests.post(f"{server.url}:predict", json=body, timeout=20).json()["predictions"]
    assert [p["classes"] for p in predictions] == [40, 200]
    assert len(predictions[0]["probabilities"]) == 1001
    status = requests.get(f"{server.url}/versions/{VERSION}", timeout=5).json()["model_version_status"]
    assert status[0]["state"] == "AVAILABLE"
    metadata = requests.get(f"{server.url}/metadata", timeout=5).json()["metadata"]
    assert sorted(metadata["signature_def"]["signature_def"]) == ["predict", "serving_default"]


class TestSeveralTensors:
    @pytest.fixture
    def url(self, start: Start, tmp_path: Path) -> str:
        export(SEVERAL_TENSORS, tmp_path / "model" / "1")
        return start(tmp_path / "model", model="several").url

    def test_both_formats(self, url: str) -> None:
        rows = {"instances": [{"x": [1, 2], "name": "a"}, {"x": [3, 0], "name": {"b64": "YQ=="}}]}
        answer = requests.post(f"{url}:predict", json=rows, timeout=20)
        assert answer.json()["predictions"] == [
            {"sum": 3.0, "greeting": "hello a", "raw_bytes": {"b64": "YQ=="}, "ratio": 0.5},
            {"sum": 3.0, "greeting": "hello a", "raw_bytes": {"b64": "YQ=="}, "ratio": float("inf")},
        ]
        columns = {"inputs": {"x": [[1, 2]], "name": ["é"]}}
        outputs = requests.post(f"{url}:predict", json=columns, timeout=20).json()["outputs"]
        assert outputs["greeting"] == ["hello é"]
        assert outputs["sum"] == [3.0]
        for wrong in ({"instances": [[1, 2]]}, {"inputs": [[1, 2]]}, {"inputs": {"x": [[1, 2]]}}):
            assert requests.post(f"{url}:predict", json=wrong, timeout=20).status_code == 400
