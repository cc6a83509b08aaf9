"""The tarball, as Galaxy and a user's machine take it."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import checkout

if TYPE_CHECKING:
    from conftest import Sanity


def test_tarball_holds_what_runs_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as tar:
        held = {member.name for member in tar if member.isfile()}
    runs = {
        str(path)
        for path in checkout.tracked()
        if path.parts[0] in ("playbooks", "roles", "plugins", "inventories", "services")
    } - {"services/requirements.in", "services/requirements-data.in"}
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


def test_ansibles_own_checks_are_content(sanity: Sanity) -> None:
    status, log = sanity.result()
    assert status == 0, "\n".join(log.splitlines()[-60:])
