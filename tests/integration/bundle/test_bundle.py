"""A bundle of two small programs, by the action itself."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256 as sha256_of
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from waiting import until

ROOT = Path(__file__).resolve().parents[3]
ANSIBLE = [sys.executable, "-m", "ansible", "adhoc", "localhost", "--inventory", "localhost,", "--connection", "local"]
VERSION = "v0.9.1"
MODULE: dict[str, Any] = {
    "name": "flannel-cni",
    "module": "github.com/containernetworking/plugins",
    "ldflags": "-X github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion={version}",
    "programs": [{"name": "flannel", "package": "plugins/meta/flannel", "check": [], "folder": "cni"}],
}


class Builder:
    def __init__(self, folder: Path) -> None:
        self.dest = folder / "bundle"
        self.cache = folder / "cache"

    def command(self, check: bool = False, **options: Any) -> list[str]:
        arguments = {
            "dest": str(self.dest),
            "cache": str(self.cache),
            "files": str(ROOT / "roles/bundle/files"),
            "go_modules": [MODULE],
        } | options
        more = ["--check"] if check else []
        return [*ANSIBLE, *more, "--module-name", "cctv.pipeline.bundle_build", "--args", json.dumps(arguments)]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
            "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1",
            "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        }

    def __call__(self, check: bool = False, **options: Any) -> dict[str, Any]:
        said = subprocess.run(
            self.command(check, **options),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert "localhost | " in said.stdout, said.stdout + said.stderr
        head, result = said.stdout.split("localhost | ", 1)[1].split(" => ", 1)
        found: dict[str, Any] = json.loads(result)
        return found | {"output": said.stdout, "failed": head.startswith("FAILED")}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(tmp_path_factory.mktemp("bundle"))


def test_check_mode_tells_and_touches_nothing(build: Builder) -> None:
    result = build(check=True)
    assert result["changed"]
    # With a Go of the machine's own, none is fetched.
    steps = [step for step in result["steps"] if step not in ("pip", "go")]
    assert steps == ["go-flannel-cni", "modules", "bundle", "tar"]
    assert list(build.cache.parent.iterdir()) == []


def test_builds_and_tells_how_long_it_takes(build: Builder) -> None:
    result = build()
    assert result["changed"], result["output"]
    assert set(result["step_seconds"]) == set(result["steps"])
    assert "  done   go-flannel-cni in " in result["output"]
    assert {path.name for path in build.dest.rglob("*") if path.is_file()} == {"flannel", "bundle.json"}
    said = subprocess.run([build.dest / "cni/flannel"], capture_output=True, text=True, check=False)
    assert f"CNI flannel plugin {VERSION}" in said.stderr
    assert b"/cache/" not in (build.dest / "cni/flannel").read_bytes()
    document = (build.dest / "bundle.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document) is None
    (component,) = json.loads(document)["components"]
    assert component["version"] == VERSION
    assert component["hashes"][0]["content"] == sha256_of(build.dest / "cni/flannel")
    assert component["purl"] == f"pkg:golang/github.com/containernetworking/plugins@{VERSION}#plugins/meta/flannel"
    assert "pkg:golang/github.com/containernetworking/cni@v0.8.1" in {part["purl"] for part in component["components"]}


def test_again_changes_nothing(build: Builder) -> None:
    for check in (False, True):
        result = build(check=check)
        assert (result["changed"], result["steps"]) == (False, [])


def test_what_was_changed_in_the_bundle_is_mended(build: Builder) -> None:
    def contents() -> dict[str, str]:
        paths = [*build.dest.rglob("*"), build.dest.with_name("bundle.tar")]
        return {str(path): sha256_of(path) for path in paths if path.is_file()}

    before = contents()
    program = build.dest / "cni/flannel"

    def flip() -> None:
        content = bytearray(program.read_bytes())
        content[1000] ^= 1
        program.write_bytes(content)

    for damage in (flip, program.unlink, (build.dest / "more").touch, lambda: program.chmod(0o644)):
        damage()
        assert "bundle" in build(check=True)["steps"]
        assert build()["steps"] == ["bundle"]
        assert contents() == before
        assert os.access(program, os.X_OK)
    build.dest.with_name("bundle.tar").unlink()
    assert build()["steps"] == ["tar"]
    assert contents() == before


def test_a_program_that_tells_another_version_is_refused(build: Builder) -> None:
    result = build(go_modules=[MODULE | {"ldflags": "-X main.x=y"}])
    assert result["failed"]
    assert f"flannel says another version than {VERSION}: CNI flannel plugin version unknown" in result["msg"]
    assert (build.dest / "bundle.json").exists()
    assert not build(check=True)["changed"]


def test_a_failing_compiler_is_shown(build: Builder) -> None:
    result = build(go_modules=[MODULE | {"programs": [MODULE["programs"][0] | {"package": "plugins/none"}]}])
    assert result["failed"]
    assert "go build" in result["msg"]
    assert "plugins/none" in result["msg"].split("ended with", 1)[1]


def test_a_damaged_cache_is_told(build: Builder) -> None:
    build()
    (made,) = build.cache.glob("steps/go-flannel-cni/*/made/flannel")
    content = made.read_bytes()
    made.write_bytes(content + b"more")
    (build.dest / "cni/flannel").unlink()
    result = build()
    assert result["failed"]
    assert f"{made} is not what was made: remove the folder {made.parent.parent} and run again" in result["msg"]
    made.write_bytes(content)
    assert build()["changed"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"dest": str(ROOT)},
            f"- bundle_dir is {ROOT}, which is there and is not a bundle: "
            "expected a bundle, or a folder that is empty or not there",
        ),
        ({"jobs": 0}, "- bundle_jobs is 0: expected 1 or more"),
        (
            {"packages": ["less"], "suite": "none"},
            "- apt has no source of Debian none here: set bundle_apt_sources to lines of a sources.list for it",
        ),
    ],
)
def test_what_cannot_be_is_told_before_anything(
    build: Builder, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    result = build(cache=str(tmp_path / "cache"), **options)
    assert result["failed"]
    assert message in result["msg"].splitlines()
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_playbook_leaves_no_process(build: Builder, tmp_path: Path, number: signal.Signals) -> None:
    # A go that takes its time: only what happens to it is of interest here.
    program = tmp_path / "go"
    program.write_text(
        "#!/bin/sh\n"
        f"[ $1 != env ] || exec echo go1.99\n"
        f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 300\n"
    )
    program.chmod(0o755)
    playbook = subprocess.Popen(
        build.command(cache=str(tmp_path / "cache")),
        env=build.environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    until("process that runs", (tmp_path / "pid").exists)
    pid = int((tmp_path / "pid").read_text())
    playbook.send_signal(number)
    playbook.wait(30)
    until("end of the process", lambda: not Path(f"/proc/{pid}").exists())


def test_what_the_machine_lacks_is_told_at_once(build: Builder, tmp_path: Path) -> None:
    # Only what Ansible itself needs is on PATH.
    for name in ("sh", "setpriv", "unshare", "mount", "id", "uname"):
        for folder in ("/usr/bin", "/bin"):
            if Path(folder, name).exists():
                (tmp_path / name).symlink_to(Path(folder, name))
                break
    image = {"name": "x.org/debian", "tag": "1", "context": str(ROOT / "roles/bundle/files/images/debian")}
    options = {
        "packages": ["less"],
        "cache": str(tmp_path / "cache"),
        "go_modules": [
            MODULE | {"cgo": True},
            {
                "name": "registry",
                "module": "github.com/distribution/distribution/v3",
                "programs": [{"name": "registry", "package": "cmd/registry"}],
            },
        ],
        "images": [image | {"contents": ["rootfs.tar"]}],
    }
    said = subprocess.run(
        build.command(**options),
        env=build.environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    lacks = said.stdout + said.stderr
    for package in ("apt", "buildah", "dpkg", "gcc", "libc6-dev", "mmdebstrap"):
        assert package in lacks.split("apt-get install --no-install-recommends ")[1].split("\\n")[0], lacks
    assert not (tmp_path / "cache").exists()


def test_wheels_and_jars_are_what_is_locked(build: Builder, tmp_path: Path) -> None:
    requirements, lock = tmp_path / "requirements.txt", tmp_path / "lock.yml"
    requirements.write_text((ROOT / "services/requirements.txt").read_text())
    jars = yaml.safe_load((ROOT / "services/kafka/maven.lock.yml").read_text())["maven_artifacts"]
    jar = next(entry for entry in jars if entry["artifact"] == "slf4j-api")
    lock.write_text(yaml.safe_dump({"maven_artifacts": [jar]}))
    wheels = {"name": "x", "requirements": str(requirements), "only": ["h11", "Orjson"], "exclude": ["h11/_util.py"]}
    options = {
        "dest": str(tmp_path / "bundle"),
        "cache": str(tmp_path / "cache"),
        "go_modules": [],
        "wheels": [wheels],
        "jars": [{"name": "y", "lock": str(lock)}],
        "tar": False,
    }
    assert build(**options)["changed"]
    (made,) = (tmp_path / "cache/steps/wheels-x").glob("*/made")
    found = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    assert "h11/_connection.py" in found
    assert "h11/_util.py" not in found
    # Of the images' Python, whatever runs this.
    assert [name for name in found if name.endswith(".so")] == ["orjson/orjson.cpython-311-x86_64-linux-gnu.so"]
    assert not {name.split("/")[0] for name in found} & {"bin", "numpy"}
    (made,) = (tmp_path / "cache/steps/jars-y").glob("*/made")
    assert [sha256_of(path) for path in made.iterdir()] == [jar["sha256"]]
    # Neither is trusted because a server says so.
    lock.write_text(yaml.safe_dump({"maven_artifacts": [jar | {"sha256": "0" * 64}]}))
    result = build(**options)
    assert result["failed"]
    assert f"has the SHA-256 {jar['sha256']}, expected {'0' * 64}" in result["msg"]
    requirements.write_text(re.sub("sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, requirements.read_text()))
    result = build(**options | {"jars": []})
    assert result["failed"]
    assert "DO NOT MATCH THE HASHES" in result["msg"]
