"""Starts the slow `ansible-test sanity` beside the other tests: one core is theirs, one is its."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import checkout
import pytest

# ansible-test would download pip's bootstrap for its virtual environments; it takes a saved one, and Python has a pip.
GET_PIP = """\
import ensurepip, runpy, sys
ensurepip.bootstrap()
sys.argv[1:] = ["install"] + [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__")
"""


class Sanity:
    """A run of ansible-test sanity on a copy of the checkout."""

    def __init__(self, folder: Path) -> None:
        # The link that makes the checkout a collection leads out of its own folder: no tarball has it either.
        copy = checkout.copy_to(folder / "ansible_collections/cctv/pipeline", "collections/ansible_collections")
        for command in ("git init --quiet", "git add --all"):
            subprocess.run(command.split(), cwd=copy, check=True)
        self._log = folder / "sanity.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._copy = copy

    def start(self) -> None:
        home = self._copy.parents[2] / "home"
        bootstrap = home / ".ansible/test/cache"
        bootstrap.mkdir(parents=True)
        (bootstrap / "get_pip_24_2.py").write_text(GET_PIP)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["nice", "ansible-test", "sanity", "--venv", "--color", "no", "--requirements"],
                cwd=self._copy,
                # Of the Pythons on PATH only the one that tests, and Debian's: shims answer to names and then fail.
                env=os.environ | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def result(self) -> tuple[int, str]:
        assert self._process is not None
        return self._process.wait(timeout=900), self._log.read_text()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, 9)
            self._process.wait()


_RUN = pytest.StashKey[Sanity]()


def pytest_collection_finish(session: pytest.Session) -> None:
    if any("sanity" in item.fixturenames for item in session.items if isinstance(item, pytest.Function)):
        if session.config.option.collectonly:
            return
        factory: pytest.TempPathFactory = session.config._tmp_path_factory  # type: ignore[attr-defined]
        run = session.config.stash[_RUN] = Sanity(factory.mktemp("sanity"))
        run.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    if run := config.stash.get(_RUN, None):
        run.stop()


@pytest.fixture(scope="session")
def sanity(request: pytest.FixtureRequest) -> Iterator[Sanity]:
    yield request.config.stash[_RUN]
