"""The module maven_libs with a repository of a few small files."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
JARS = {name: name.encode() * 1000 for name in ("one", "two", "three")}


class Repository(http.server.BaseHTTPRequestHandler):
    torn: dict[str, int]  # path -> how many answers end too soon
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = JARS.get(self.path.split("/")[3])
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.torn.get(self.path, 0) > 0:
            self.torn[self.path] -= 1
            body = body[:10]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository() -> Iterator[http.server.ThreadingHTTPServer]:
    Repository.torn, Repository.asked = {}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Repository)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def fetch(repository: http.server.ThreadingHTTPServer, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def call(check: bool = False, **change: dict[str, str]) -> dict[str, Any]:
        artifacts = [
            {"group": "org.x", "artifact": name, "version": "1.0", "sha256": hashlib.sha256(jar).hexdigest()}
            | change.get(name, {})
            for name, jar in JARS.items()
        ]
        arguments = {
            "artifacts": artifacts,
            "dest": str(tmp_path / "kafka" / "libs"),
            "repository_url": f"http://127.0.0.1:{repository.server_port}",
            "_ansible_check_mode": check,
        }
        said = subprocess.run(
            [sys.executable, "-m", "ansible_collections.cctv.pipeline.plugins.modules.maven_libs"],
            env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "collections"), *sys.path])},
            input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert said.stdout, said.stderr
        return json.loads(said.stdout)  # type: ignore[no-any-return]

    return call


def test_fetches_once(fetch: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    assert fetch(check=True)["fetched"] == ["one-1.0.jar", "three-1.0.jar", "two-1.0.jar"]
    assert not (tmp_path / "kafka").exists()
    assert fetch()["changed"]
    libs = tmp_path / "kafka" / "libs"
    assert {path.name: path.read_bytes() for path in libs.iterdir()} == {f"{n}-1.0.jar": jar for n, jar in JARS.items()}
    assert [path.name for path in libs.parent.iterdir()] == ["libs"]
    asked = len(Repository.asked)
    assert not fetch()["changed"]
    assert not fetch(check=True)["changed"]
    assert len(Repository.asked) == asked


def test_fetches_again_when_a_jar_is_missing(fetch: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    fetch()
    (tmp_path / "kafka/libs/two-1.0.jar").unlink()
    assert fetch()["changed"]
    assert (tmp_path / "kafka/libs/two-1.0.jar").read_bytes() == JARS["two"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"two": {"sha256": "0" * 64}}, "two-1.0.jar has the SHA-256"),
        ({"two": {"artifact": "none"}}, "cannot fetch"),
    ],
)
def test_nothing_is_there_unless_all_is(
    fetch: Callable[..., dict[str, Any]], tmp_path: Path, change: dict[str, dict[str, str]], message: str
) -> None:
    said = fetch(**change)
    assert said["failed"]
    assert message in said["msg"]
    assert list((tmp_path / "kafka").iterdir()) == []


def test_torn_download_is_tried_again(fetch: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    Repository.torn = {"/org/x/two/1.0/two-1.0.jar": 1}
    assert fetch()["changed"]
    assert (tmp_path / "kafka/libs/two-1.0.jar").read_bytes() == JARS["two"]
