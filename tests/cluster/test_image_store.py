"""Pictures that the archiver wrote are read over NFSv4 from the server that the role image_store configures.

Opening files by their handles, as the server does, takes root. No kernel has to mount NFS: clients are those of libnfs.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import checkout
import pytest
from cctv_archiver.ledger import Ledger
from cctv_archiver.store import Image, Store
from cctv_common.images import MARKER, image_path
from ports import free_port
from waiting import until

ROLE = checkout.ROOT / "roles/image_store"
UID = 10001
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: cctv.pipeline.image_store
        tasks_from: preflight
        public: true
    - ansible.builtin.template:
        src: "{{ role }}/templates/server/ganesha.conf.j2"
        dest: "{{ playbook_dir }}/ganesha.conf"
        mode: "0644"
"""
IMAGES = [
    Image(image_path(camera, 1, number, 1_780_310_096_789 + number % 3 * 3_600_000), os.urandom(size))
    for camera, size in (("gate", 50_000), ("yard", 700_000))
    for number in range(12)
]
WRITE_BYTES = 2048
"""libnfs 4.0 fails to encode larger writes of NFSv4."""


class Server:
    """NFS-Ganesha with the role's configuration, and with no more rights than the role's service gives it."""

    def __init__(self, folder: Path, **variables: Any) -> None:
        self._folder = folder
        self.port = free_port()
        self.export = folder / "export"
        (folder / "state").mkdir(parents=True)
        self.export.mkdir(mode=0o750)
        os.chown(self.export, UID, UID)
        said = {
            "role": str(ROLE),
            "workload_runtime": "kubernetes",
            "image_store_port": self.port,
            "image_store_bind_address": "127.0.0.1",
            "image_store_networks": ["127.0.0.0/8"],
            "image_store_folder": str(self.export),
            "__image_store_state": str(folder / "state"),
        } | variables
        (folder / "play.yml").write_text(PLAY)
        subprocess.run(
            [
                *(sys.executable, "-m", "ansible", "playbook", "--inventory", "localhost,"),
                *("--extra-vars", json.dumps(said), str(folder / "play.yml")),
            ],
            env=os.environ
            | {"ANSIBLE_CONFIG": str(checkout.ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
            check=True,
        )
        unit = (ROLE / "templates/server/cctv-image-store.service.j2").read_text()
        (rights,) = re.findall("^CapabilityBoundingSet=(.+)$", unit, re.MULTILINE)
        self._rights = ",".join(["-all", *(f"+{right.removeprefix('CAP_').lower()}" for right in rights.split())])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text()

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--bounding-set", self._rights),
                    *("/usr/bin/ganesha.nfsd", "-F", "-L", "STDOUT"),
                    *("-f", str(self._folder / "ganesha.conf"), "-p", str(self._folder / "pid")),
                ],
                stdout=log,
                stderr=log,
            )

    def run(self, program: str, path: str = "") -> subprocess.CompletedProcess[bytes]:
        """Run one of libnfs' programs on a path below the store."""
        assert self._process is not None
        assert self._process.poll() is None, self.log
        url = f"nfs://127.0.0.1/image-store/{path}?version=4&nfsport={self.port}"
        return subprocess.run([program, url], capture_output=True, timeout=60, check=False)

    def answers(self) -> bool:
        return self.run("nfs-ls").returncode == 0

    def opens(self) -> bool:
        """Whether it gives files, too: for a while after a restart only to those who had some open."""
        return self.run("nfs-cat", MARKER).returncode == 0

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def server_of() -> Iterator[Callable[..., Server]]:
    """Starts servers, with more variables for the role."""
    servers: list[Server] = []
    # Pytest's own folders are closed to the user that the archiver is.
    folder = Path(tempfile.mkdtemp(prefix="cctv-"))
    folder.chmod(0o711)

    def start(**variables: Any) -> Server:
        servers.append(Server(folder / str(len(servers)), **variables))
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.kill()
    shutil.rmtree(folder)


def archive(folder: Path) -> None:
    """Write pictures as the archiver does, as the user that it is."""
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(UID)
            os.setuid(UID)
            store = Store(folder, Ledger())
            store.found()
            store.write(IMAGES)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def read_all(server: Server) -> dict[str, bytes]:
    found = {}
    for image in IMAGES:
        done = server.run("nfs-cat", image.path)
        assert done.returncode == 0, done.stderr + server.log.encode()
        found[image.path] = done.stdout
    return found


def test_every_picture_is_read_back_also_after_the_server_was_killed(server_of: Callable[..., Server]) -> None:
    server = server_of()
    archive(server.export)
    until("server that gives files", server.opens)
    assert read_all(server) == {image.path: image.content for image in IMAGES}
    folder = os.path.dirname(IMAGES[0].path)
    listed = {line.split()[-1] for line in server.run("nfs-ls", folder).stdout.decode().splitlines()}
    assert listed == {os.path.basename(path) for path in dict(IMAGES) if path.startswith(f"{folder}/")}
    server.kill()
    server.start()
    until("server that gives files", server.opens)
    assert read_all(server) == {image.path: image.content for image in IMAGES}


def test_only_the_networks_that_are_named_may_mount_it(server_of: Callable[..., Server]) -> None:
    server = server_of(image_store_networks=["192.0.2.0/24"])
    # It is up, and says no.
    until("refusal", lambda: b"NFS4ERR" in (done := server.run("nfs-ls")).stderr + done.stdout)
    assert not server.answers()
    nobody = server_of(image_store_networks=[])
    until("refusal", lambda: b"NFS4ERR" in (done := nobody.run("nfs-ls")).stderr + done.stdout)


def test_whoever_writes_is_the_pipeline_s_user(server_of: Callable[..., Server]) -> None:
    server = server_of()
    until("answer", server.answers)
    content = os.urandom(100_000)
    # The server lets nobody in for a moment after its start.
    until("place for a picture", lambda: write(server.port, "/gate", "/gate/.new-x.jpg", "/gate/x.jpg", content))
    written = server.export / "gate/x.jpg"
    assert written.read_bytes() == content
    assert not (server.export / "gate/.new-x.jpg").exists()
    for path in (written, written.parent):
        assert (path.stat().st_uid, path.stat().st_gid) == (UID, UID)


def write(port: int, folder: str, temporary: str, path: str, content: bytes) -> bool:
    """Do over NFS what the archiver does: a file by another name, made durable, renamed. False while it may not."""
    libnfs = ctypes.CDLL("libnfs.so.13")
    libnfs.nfs_init_context.restype = ctypes.c_void_p
    libnfs.nfs_get_error.restype = ctypes.c_char_p
    libnfs.nfs_parse_url_dir.restype = ctypes.c_void_p
    context = ctypes.c_void_p(libnfs.nfs_init_context())
    file = ctypes.c_void_p()

    def call(name: str, *arguments: Any) -> int:
        return int(getattr(libnfs, name)(context, *arguments))

    try:
        assert libnfs.nfs_parse_url_dir(context, f"nfs://127.0.0.1/image-store/?version=4&nfsport={port}".encode())
        assert call("nfs_mount", b"127.0.0.1", b"/image-store") == 0, libnfs.nfs_get_error(context)
        call("nfs_mkdir", folder.encode())  # there already, at a second attempt
        if call("nfs_open2", temporary.encode(), os.O_CREAT | os.O_WRONLY, 0o640, ctypes.byref(file)) < 0:
            assert b"NFS4ERR_GRACE" in libnfs.nfs_get_error(context)
            return False
        for at in range(0, len(content), WRITE_BYTES):
            part = content[at : at + WRITE_BYTES]
            assert call("nfs_write", file, ctypes.c_uint64(len(part)), part) == len(part), libnfs.nfs_get_error(context)
        assert call("nfs_fsync", file) == 0
        assert call("nfs_close", file) == 0
        assert call("nfs_rename", temporary.encode(), path.encode()) == 0
    finally:
        libnfs.nfs_destroy_context(context)
    return True
