"""Problems of the models that are to be served."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.cctv.pipeline.plugins.filter.models import model_problems

FOLDERS = ["/m/1", "/m/2", "/m/10", "/mm/7"]


def model(**other: Any) -> dict[str, Any]:
    return {"name": "m", "path": "/m", "versions": 1, "version_labels": {}} | other


@pytest.mark.parametrize("versions", [1, "2", "all", [1, "10"]])
def test_good_models_have_no_problems(versions: Any) -> None:
    models = [model(versions=versions, version_labels={"stable": 1}), model(name="m-2", path="/mm/")]
    assert model_problems(models, ["/m", "/mm/"], FOLDERS, FOLDERS) == []


def test_what_nobody_can_look_into_is_not_judged() -> None:
    assert model_problems([model(path="in/the/claim")]) == []


@pytest.mark.parametrize(
    ("other", "loadable", "problem"),
    [
        ({"versions": 0}, FOLDERS, "tf_serving_versions=0: expected a number from 1 on, all, or a list of versions"),
        ({"versions": "newest"}, FOLDERS, "tf_serving_versions=newest: expected"),
        ({"versions": []}, FOLDERS, "tf_serving_versions=[]: expected"),
        ({"versions": ["x"]}, FOLDERS, "tf_serving_versions=['x']: expected"),
        ({"versions": True}, FOLDERS, "tf_serving_versions=True: expected"),
        ({"versions": [3]}, FOLDERS, "tf_serving_model_path=/m: version 3 holds no SavedModel; expected a folder"),
        ({}, ["/m/1", "/m/2"], "tf_serving_model_path=/m: version 10 holds no SavedModel; expected a folder"),
        ({"versions": 2}, ["/m/10"], "tf_serving_model_path=/m: version 2 holds no SavedModel"),
        ({"versions": "all"}, ["/m/2", "/m/10"], "tf_serving_model_path=/m: version 1 holds no SavedModel"),
        ({"path": "/none"}, FOLDERS, "tf_serving_model_path=/none: holds no version of a model; expected a folder"),
        ({"name": "a b"}, FOLDERS, "tf_serving_model_name=a b: expected letters, digits"),
        (
            {"version_labels": {"canary": "next"}},
            FOLDERS,
            "tf_serving_version_labels=canary: next: expected the number of a version",
        ),
    ],
)
def test_what_cannot_work_is_told(other: dict[str, Any], loadable: list[str], problem: str) -> None:
    (told,) = model_problems([model(**other)], ["/m", "/none"], FOLDERS, loadable)
    assert told.startswith(problem)


def test_a_further_model_is_told_by_its_place() -> None:
    told = model_problems([model(), model(), model(name="x", versions="few")])
    assert told == [
        "tf_serving_more_models[0].name=m: expected a name of its own for each model",
        "tf_serving_more_models[1].versions=few: expected a number from 1 on, all, or a list of versions",
    ]
