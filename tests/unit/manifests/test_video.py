"""What the role video renders, and what it refuses."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from .conftest import Render


def manifest(made: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (each for each in made["manifests"] if each["kind"] == kind)
    return dict(found)


def test_the_password_is_in_a_secret_and_nowhere_else(render: Render) -> None:
    made = render("video", video_password="open sesame", video_username="guard")["video"]
    assert made["problems"] == []
    secret = manifest(made, "Secret")["data"]
    assert base64.b64decode(secret["VIDEO_PASSWORD"]) == b"open sesame"
    assert base64.b64decode(secret["VIDEO_USERNAME"]) == b"guard"
    others = [each for each in made["manifests"] if each["kind"] != "Secret"]
    assert "sesame" not in str(others) and secret["VIDEO_PASSWORD"] not in str(others)
    (container,) = manifest(made, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert {"secretRef": {"name": "video"}} in container["envFrom"]


@pytest.mark.parametrize(("root_path", "path"), [("", "/"), ("/site/cctv", "/site/cctv")])
def test_an_ingress_shows_the_page_below_its_path(render: Render, root_path: str, path: str) -> None:
    made = render("video", video_ingress_host="cctv.example.org", video_root_path=root_path)["video"]
    (rule,) = manifest(made, "Ingress")["spec"]["rules"]
    assert [each["path"] for each in rule["http"]["paths"]] == [path]
    assert manifest(made, "ConfigMap")["data"]["VIDEO_ROOT_PATH"] == root_path


def test_what_is_wrong_is_said_but_never_the_password(render: Render) -> None:
    said = {"video_password": "sesame", "video_username": "a:b", "video_root_path": "cctv/"}
    problems = render("video", **said)["video"]["problems"]
    assert [problem.split(":")[0].split("=")[0] for problem in problems] == [
        "video_root_path",
        "video_username",
        "video_password",
    ]
    assert "sesame" not in " ".join(problems)
