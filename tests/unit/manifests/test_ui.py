"""What the role ui renders, and what it refuses."""

from __future__ import annotations

import base64
from typing import Any

from .conftest import Render


def manifest(made: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = (each for each in made["manifests"] if each["kind"] == kind)
    return dict(found)


def test_the_password_is_in_a_secret_and_nowhere_else(render: Render) -> None:
    made = render("ui", ui_password="open sesame")["ui"]
    assert made["problems"] == []
    secret = manifest(made, "Secret")["data"]
    assert base64.b64decode(secret["UI_PASSWORD"]) == b"open sesame"
    others = [each for each in made["manifests"] if each["kind"] != "Secret"]
    assert "sesame" not in str(others) and secret["UI_PASSWORD"] not in str(others)


def test_it_can_only_read_the_pictures(render: Render) -> None:
    (container,) = manifest(render("ui")["ui"], "Deployment")["spec"]["template"]["spec"]["containers"]
    mounts = {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert mounts["images"] is True


def test_what_is_wrong_is_said_but_never_the_password(render: Render) -> None:
    said = {"ui_password": "sesame", "ui_username": "a:b", "ui_page_size": 0, "ui_ingress_class": "nginx"}
    problems = render("ui", **said)["ui"]["problems"]
    assert [problem.split(":")[0].split("=")[0].split(" ")[0] for problem in problems] == [
        "ui_ingress_host",
        "ui_username",
        "ui_page_size",
        "ui_password",
    ]
    assert "sesame" not in " ".join(problems)
