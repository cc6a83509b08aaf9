from __future__ import annotations

from pathlib import Path

import pytest
from cctv_serving import versions
from cctv_serving.versions import NoModel, Policy


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for name in ("1", "2", "10", "007", "not-a-version", str(2**64)):
        (tmp_path / name).mkdir()
    (tmp_path / "11").write_text("a file")
    return tmp_path


@pytest.mark.parametrize(
    ("policy", "numbers"),
    [
        (Policy(), [10]),
        (Policy(latest={}), [10]),
        (Policy(latest={"num_versions": 2}), [10, 7]),
        (Policy(latest={"num_versions": 9}), [10, 7, 2, 1]),
        (Policy(all={}), [10, 7, 2, 1]),
        (Policy(specific={"versions": [1, 7, 12]}), [7, 1]),
        (Policy(specific={"versions": [12]}), []),
    ],
)
def test_policies(base: Path, policy: Policy, numbers: list[int]) -> None:
    assert [version.number for version in versions.chosen(base, policy)] == numbers


def test_a_version_has_the_folder_that_it_was_found_in(base: Path) -> None:
    (version,) = versions.chosen(base, Policy(specific={"versions": [7]}))
    assert version.folder == base / "007"


def test_what_is_not_there_is_told(base: Path) -> None:
    with pytest.raises(NoModel, match=r"folder named by a number \(3, 12\), with a saved_model.pb"):
        versions.check(base, Policy(specific={"versions": [12, 3]}))
    with pytest.raises(NoModel, match=r"10 holds no SavedModel"):
        versions.check(base, Policy())
    with pytest.raises(NoModel, match=r"cannot be read: No such file or directory"):
        versions.chosen(base / "none", Policy())
