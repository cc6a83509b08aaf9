"""The tarball, as Galaxy and a user's machine take it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import checkout

# ansible-test would download pip's bootstrap for its virtual environments; it takes a saved one, and Python has a pip.
GET_PIP = """\
import ensurepip, runpy, sys
ensurepip.bootstrap()
sys.argv[1:] = ["install"] + [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__")
"""


def test_tarball_holds_what_runs_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as tar:
        held = {member.name for member in tar if member.isfile()}
    runs = {
        str(path)
        for path in checkout.tracked()
        if path.parts[0] in ("playbooks", "roles", "plugins", "inventories", "services")
    } - {"services/requirements.in", "services/requirements-data.in", "roles/bundle/files/go/requirements.in"}
    assert runs - held == set()
    assert {path.split("/")[0] for path in held} <= {
        "CHANGELOG.rst",
        "FILES.json",
        "LICENSE",
        "LICENSES",
        "MANIFEST.json",
        "README.md",
        "changelogs",
        "inventories",
        "meta",
        "playbooks",
        "plugins",
        "requirements.txt",
        "roles",
        "services",
    }
    assert tarball.stat().st_size < 5_000_000


def test_galaxy_takes_the_tarball(tarball: Path, tmp_path: Path) -> None:
    config = tmp_path / "galaxy-importer.cfg"
    config.write_text(
        "[galaxy-importer]\ncheck_required_tags = True\nrequire_v1_or_greater = True\nrun_flake8 = False\n"
    )
    importer = subprocess.run(
        ["python", "-m", "galaxy_importer.main", str(tarball)],
        cwd=tmp_path,
        env=os.environ | {"GALAXY_IMPORTER_CONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert importer.returncode == 0, importer.stdout
    assert re.findall(r"^(?:WARNING|ERROR|CRITICAL).*", importer.stdout, re.MULTILINE) == []


def test_ansibles_own_checks_are_content(tmp_path: Path) -> None:
    # The link that makes the checkout a collection leads out of its own folder: no tarball has it either.
    copy = checkout.copy_to(tmp_path / "ansible_collections/cctv/pipeline", "collections/ansible_collections")
    for command in ("git init --quiet", "git add --all"):
        subprocess.run(command.split(), cwd=copy, check=True)
    bootstrap = tmp_path / ".ansible/test/cache"
    bootstrap.mkdir(parents=True)
    (bootstrap / "get_pip_24_2.py").write_text(GET_PIP)
    sanity = subprocess.run(
        ["ansible-test", "sanity", "--venv", "--requirements", "--color", "no"],
        cwd=copy,
        # Of the Pythons on PATH only the one that tests, and Debian's: shims answer to names and then fail.
        env=os.environ | {"HOME": str(tmp_path), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = re.findall(r"^(?:ERROR|FATAL): .*", sanity.stdout, re.MULTILINE)
    assert (sanity.returncode, found) == (0, []), sanity.stdout[-4000:]
