"""The whole pipeline, from nothing to nothing, as an unprivileged user: checked out, and installed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import checkout

if TYPE_CHECKING:
    from conftest import User

SETTINGS = checkout.ROOT / "molecule/default/inventory/group_vars/pipeline.yml"


def recap(printed: str) -> dict[str, int]:
    """The figures of localhost's last line in a play recap."""
    line = re.findall(r"^localhost +: (.*)$", printed, re.MULTILINE)[-1]
    return {name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", line)}


def test_checkout(user: User) -> None:
    source = checkout.copy_to(user.folder / "checkout")
    user.own(source)
    user.run("molecule", "test", cwd=source, log="molecule-checkout.log")
    assert user.processes() == []


def test_tarball(user: User, tarball: Path) -> None:
    """In an empty folder, so without a configuration and without an inventory."""
    folder = user.make("empty")
    settings = f"@{shutil.copy(SETTINGS, user.folder)}"

    def run(*command: str) -> str:
        return user.run(*command, cwd=folder, log="molecule-tarball.log")

    run("ansible-galaxy", "collection", "install", "--offline", shutil.copy(tarball, user.folder))
    site = ("ansible-playbook", "cctv.pipeline.site", "-e", settings)
    run(*site, "--check", "--diff")
    assert not list(user.folder.glob(".local/*/cctv-pipeline"))
    assert "bikes" in run(*site)
    assert recap(run(*site))["changed"] == 0
    assert recap(run(*site, "--check", "--diff"))["changed"] == 0
    run("ansible-playbook", "cctv.pipeline.verify", "-e", settings)
    run("ansible-playbook", "cctv.pipeline.down", "-e", settings)
    assert user.processes() == []
    assert list(folder.iterdir()) == []
