# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the models that are to be served before anything starts."""

from __future__ import annotations

import os
import re

NAME = re.compile(r"[A-Za-z0-9_.-]+")
EXPECTED_FOLDER = "a folder with folders named by numbers, the highest of them with a saved_model.pb in it"


def _variable(index, option):
    """The name by which a person gave an option of a model."""
    if index:
        return "tf_serving_more_models[%d].%s" % (index - 1, option)
    return {"name": "tf_serving_model_name", "path": "tf_serving_model_path"}.get(option, "tf_serving_" + option)


def _number(value):
    return int(value) if re.fullmatch(r"[0-9]{1,18}", str(value)) and not isinstance(value, bool) else None


def _wanted(versions, there):
    """The versions that are to be served of those that are there, or None when ``versions`` says nothing."""
    if versions == "all":
        return there
    if isinstance(versions, list):
        numbers = [_number(version) for version in versions]
        return None if not numbers or None in numbers else numbers
    count = _number(versions)
    return there[:count] if count else None


def _in_folder(path, folder):
    return os.path.dirname(path.rstrip("/")) == folder.rstrip("/")


def _folder_problem(path, wanted, there, loadable):
    lacking = sorted(set(wanted) - set(loadable))
    if there and not lacking:
        return ""
    what = "version %d holds no SavedModel" % lacking[-1] if there else "holds no version of a model"
    return "%s: %s; expected %s" % (path, what, EXPECTED_FOLDER)


def model_problems(models, looked_at=(), versions=(), loadable=()):
    """Every problem of the models, each as a message that names the variable and what is expected."""
    problems = []
    names = [model["name"] for model in models]
    for index, model in enumerate(models):

        def wrong(option, value, expected, index=index):
            problems.append("%s=%s: expected %s" % (_variable(index, option), value, expected))

        if not NAME.fullmatch(str(model["name"])):
            wrong("name", model["name"], "letters, digits, dots, dashes and underscores")
        elif model["name"] in names[:index]:
            wrong("name", model["name"], "a name of its own for each model")
        folder = model["path"]
        there, with_model = (
            sorted((int(os.path.basename(path)) for path in paths if _in_folder(path, folder)), reverse=True)
            for paths in (versions, loadable)
        )
        wanted = _wanted(model["versions"], there)
        if wanted is None:
            wrong("versions", model["versions"], "a number from 1 on, all, or a list of versions")
        elif folder in looked_at:
            problem = _folder_problem(folder, wanted, there, with_model)
            if problem:
                problems.append("%s=%s" % (_variable(index, "path"), problem))
        for label, version in sorted(model["version_labels"].items()):
            if _number(version) is None:
                wrong("version_labels", "%s: %s" % (label, version), "the number of a version")
    return problems


class FilterModule:
    def filters(self):
        return {"model_problems": model_problems}
