"""An unprivileged user with folders of its own, for a whole pipeline beside whatever else runs on this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from user import OUTPUT, User


@pytest.fixture
def user() -> Iterator[User]:
    # Short, because a socket's path has at most 107 characters; world-readable on its way, unlike pytest's own folders.
    folder = Path(tempfile.mkdtemp(prefix="cctv-"))
    name = folder.name.replace("_", "-").lower()
    if os.getuid() == 0:
        subprocess.run(
            ["useradd", "--system", "--user-group", "--home-dir", folder, "--shell", "/usr/sbin/nologin", name],
            check=True,
        )
        account = pwd.getpwnam(name)
        os.chown(folder, account.pw_uid, account.pw_gid)
        made = User(folder, account.pw_uid, account.pw_gid)
    else:
        made = User(folder, os.getuid(), os.getgid())
    try:
        yield made
    finally:
        made.end()
        for log in folder.glob(".local/state/cctv-pipeline/logs/*.log"):
            OUTPUT.mkdir(exist_ok=True)
            shutil.copyfile(log, OUTPUT / f"workload-{log.name}")
        if os.getuid() == 0:
            subprocess.run(["userdel", name], check=True)
        shutil.rmtree(folder, ignore_errors=True)
