"""Filebeat, built once for all tests, as the role does it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("go.mod", "go.sum", "filebeat/main.go")
BUILD = """\
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: cctv.pipeline.bundle
        tasks_from: program
      vars:
        __bundle_program: filebeat
        __bundle_program_path: {path}
        bundle_cache_dir: {path}-cache
"""


def name() -> str:
    """What the role calls the program's folder, which tells what it is made of."""
    folder = ROOT / "roles/bundle/files/go/filebeat"
    # Without the newlines at the ends, as Ansible reads files.
    sources = "".join((folder / source).read_text().rstrip() for source in SOURCES)
    return f"filebeat-{hashlib.sha256(sources.encode()).hexdigest()[:12]}"


def program() -> Path:
    """Filebeat's folder: CCTV_FILEBEAT, or a cache."""
    if named := os.environ.get("CCTV_FILEBEAT"):
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cctv-pipeline-tests"
    built = cache / name()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "filebeat.lock").open("w") as lock_file:
        # The first of several test processes builds for all.
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        if not (built / "bin/filebeat").exists():
            playbook = cache / "filebeat.yml"
            playbook.write_text(BUILD.format(path=built))
            subprocess.run(
                [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", str(playbook)],
                env=os.environ
                | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_PYTHON_INTERPRETER": sys.executable},
                cwd=ROOT,
                check=True,
            )
    return built / "bin"
