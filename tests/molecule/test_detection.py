"""Detection, from nothing to nothing, as an unprivileged user: what is selected is found, whatever breaks."""

from __future__ import annotations

import shutil

import checkout
import filebeat
import yaml
from user import User


def test_detection(user: User) -> None:
    source = checkout.copy_to(user.folder / "checkout")
    user.own(source)
    # What others of these tests have built, in minutes of both processors.
    programs = user.folder / ".local/share/cctv-pipeline" / filebeat.name()
    programs.mkdir(parents=True)
    shutil.copy(filebeat.program() / "filebeat", programs)
    user.own(user.folder / ".local")
    printed = user.run("molecule", "test", "--scenario-name", "detection", cwd=source, log="molecule-detection.log")
    assert user.processes() == []
    # With --diff. Their first words are the same however they are quoted.
    variables = yaml.safe_load((source / "molecule/detection/inventory/group_vars/pipeline.yml").read_text())
    secrets = [variables[name].split()[0] for name in ("kafka_broker_password", "kafka_client_password")]
    assert [secret for secret in secrets if secret in printed] == []
