"""The whole pipeline, from nothing to nothing, as an unprivileged user: checked out, and installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import checkout
from user import User

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
    status = run("ansible-playbook", "cctv.pipeline.status", "-e", settings)
    assert re.search(r"video-0 +running +yes +\d+ +127\.0\.0\.1:", status)
    run("ansible-playbook", "cctv.pipeline.down", "-e", settings)
    assert user.processes() == []
    assert list(folder.iterdir()) == []
    if os.geteuid() == 0:
        see_root_drop_its_privileges(user, tarball, settings)


def see_root_drop_its_privileges(user: User, tarball: Path, settings: str) -> None:
    """Started by root, all processes are an unprivileged user's, who need not enter root's folders."""
    home = user.folder / "root"
    home.mkdir(mode=0o700)
    root = type(user)(home, 0, 0)
    variables = {
        "local_runtime_user": user.folder.owner(),
        "local_runtime_user_home": str(user.folder),
        # With the same Python, the environment that the user made serves again.
        "local_runtime_python_executable": sys.executable,
    }

    def run(*command: str) -> str:
        return root.run(*command, cwd=home, log="molecule-root.log")

    def play(name: str) -> str:
        return run("ansible-playbook", f"cctv.pipeline.{name}", "-e", settings, "-e", json.dumps(variables))

    run("ansible-galaxy", "collection", "install", "--offline", str(tarball))
    try:
        assert "bikes" in play("site")
        assert recap(play("site"))["changed"] == 0
        status = json.loads((user.folder / ".local/state/cctv-pipeline/status.json").read_text())
        assert {Path(f"/proc/{pod['pid']}").owner() for pod in status.values()} == {user.folder.owner()}
    finally:
        play("down")
    assert user.processes() == []
