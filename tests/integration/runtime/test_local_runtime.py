"""The local runtime with a real supervisor and real processes, through its modules as Ansible calls them."""

import base64
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from waiting import until

ROOT = Path(__file__).resolve().parents[3]
MODULES = "ansible_collections.cctv.pipeline.plugins.modules"
APP = """\
import http.server, os, sys
print("says", os.environ["SAYS"], flush=True)
if os.environ["SAYS"] == "crash":
    sys.exit("cannot go on")
if os.environ["SAYS"] == "wrong":
    print("SAYS='wrong': expected anything else", flush=True)
    sys.exit(78)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = "\\n".join(f"{k}={v}" for k, v in os.environ.items()).encode()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer((os.environ["POD_IP"], int(os.environ["PORT"])), Handler).serve_forever()
"""
LINGERER = """\
import os, signal, sys, time
def end(*_):
    open(os.environ["SAYS"] + ".asked", "w").close()
    while not os.path.exists(os.environ["SAYS"] + ".may-end"):
        time.sleep(0.01)
    sys.exit()
signal.signal(signal.SIGTERM, end)
open(os.environ["SAYS"] + ".listens", "w").close()
while True:
    signal.pause()
"""


class Machine:
    """A local runtime in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.dirs = {"state_dir": str(folder / "state"), "data_dir": str(folder / "data")}
        self.port = free_port()
        self.launcher = str(self.bin / "cctv-local-exec")
        self._program("app", APP)
        self._program("lingerer", LINGERER)
        self._program("cctv-local-exec", "from cctv_local.launch import main; main()")
        self._program("cctv-local-prober", "from cctv_local.prober import main; main()")
        self._program("supervisord", "from supervisor.supervisord import main; main()")

    def _program(self, name: str, code: str) -> None:
        paths = [str(ROOT / "services" / service) for service in ("common", "local")]
        path = self.bin / name
        path.write_text(f"#!{sys.executable}\nimport sys; sys.path[:0] = {paths!r}\n{code}\n")
        path.chmod(0o700)

    def call(self, module: str, check: bool = False, **args: Any) -> dict[str, Any]:
        args = {k: v for k, v in args.items() if v is not None} | {"_ansible_check_mode": check, "_ansible_diff": True}
        env = os.environ | {"PYTHONPATH": str(ROOT / "collections")}
        done = subprocess.run(
            [sys.executable, "-m", f"{MODULES}.{module}"], env=env, input=json.dumps({"ANSIBLE_MODULE_ARGS": args}),
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def supervisor(self, state: str = "started", **more: Any) -> dict[str, Any]:
        return self.call("local_supervisor", state=state, bin_dir=str(self.bin), **self.dirs, **more)

    def apply(self, *manifests: dict, component: str = "c", check: bool = False, **more: Any) -> dict[str, Any]:
        environment = {"PATH": f"{self.bin}:{os.environ['PATH']}"}
        return self.call(
            "local_workload", check, component=component, manifests=list(manifests), environment=environment,
            launcher=self.launcher, wait_timeout=30, **self.dirs, **more,
        )  # fmt: skip

    def pods(self) -> dict[str, dict[str, Any]]:
        told = self.call("local_workload_info", state_dir=self.dirs["state_dir"])
        return {pod["name"]: pod for pod in told["pods"]}

    def environment(self, pod: str) -> dict[str, str]:
        address = self.pods()[pod]["address"]
        with urllib.request.urlopen(f"http://{address}:{self.port}/", timeout=5) as answer:
            return dict(line.split("=", 1) for line in answer.read().decode().splitlines())

    def app(self, name: str = "app", replicas: int = 1, reads: str = "settings", **container: Any) -> dict:
        probe = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 1, "failureThreshold": 2}
        env = [
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "PORT", "value": str(self.port)},
        ]
        spec = {
            "name": name,
            "command": ["app"],
            "env": env + container.pop("env", []),
            "envFrom": [{"configMapRef": {"name": reads}}],
            "ports": [{"name": "http", "containerPort": self.port}],
            "readinessProbe": probe,
            "livenessProbe": probe | {"terminationGracePeriodSeconds": 1},
            **container,
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [spec]}}},
        }


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.supervisor("stopped")


def settings(name: str = "settings", **data: str) -> dict:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"SAYS": "hello"} | data}


def test_applying_twice_changes_nothing_the_second_time(machine: Machine) -> None:
    assert machine.supervisor()["changed"] is True
    assert machine.supervisor()["changed"] is False
    first = machine.apply(settings(), machine.app(replicas=2))
    assert (first["changed"], first["added"]) == (True, ["app-0", "app-1"])
    before = machine.pods()
    again = machine.apply(settings(), machine.app(replicas=2))
    assert again["changed"] is False
    assert machine.pods() == before
    assert all(pod["ready"] for pod in before.values())


def test_check_mode_tells_the_change_and_touches_nothing(machine: Machine, tmp_path: Path) -> None:
    told = machine.apply(settings(), machine.app(), check=True)
    assert (told["changed"], told["added"]) == (True, ["app-0"])
    assert "Deployment app" in told["diff"]["after"]
    assert not (tmp_path / "state").exists()


def test_a_changed_config_map_restarts_exactly_what_reads_it(machine: Machine) -> None:
    machine.supervisor()
    machine.apply(settings(), settings("other"), component="settings")
    machine.apply(machine.app("reader"), machine.app("bystander", reads="other"))
    before = machine.pods()
    done = machine.apply(settings(SAYS="something else"), settings("other"), component="settings")
    after = machine.pods()
    assert done["restarted"] == ["reader-0"]
    assert machine.environment("reader-0")["SAYS"] == "something else"
    assert after["bystander-0"]["pid"] == before["bystander-0"]["pid"]


def test_what_is_no_longer_rendered_is_removed(machine: Machine) -> None:
    machine.supervisor()
    machine.apply(settings(), machine.app("stays"), machine.app("goes"))
    pid = machine.pods()["goes-0"]["pid"]
    machine.apply(settings(), machine.app("stays"))
    assert list(machine.pods()) == ["stays-0"]
    assert not Path(f"/proc/{pid}").exists()


def test_a_process_sees_its_own_environment_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAKED", "from the shell")
    machine.supervisor()
    machine.apply(settings(), machine.app())
    assert "LEAKED" not in machine.environment("app-0")


def test_a_crash_loop_is_reported_with_its_last_lines(machine: Machine) -> None:
    machine.supervisor()
    failed = machine.apply(settings(SAYS="crash"), machine.app())
    assert failed["failed"] is True
    assert "app-0 ends as soon as it starts (exit status 1)" in failed["msg"]
    assert failed["msg"].endswith("cannot go on")


def test_a_wrong_setting_is_reported_sooner_than_a_crash_loop(machine: Machine, tmp_path: Path) -> None:
    machine.supervisor()
    failed = machine.apply(settings(SAYS="wrong"), machine.app())
    assert failed["msg"].endswith("SAYS='wrong': expected anything else")
    # Sooner than a crash loop, which is one from its third start on.
    assert (tmp_path / "state/logs/app-0.log").read_text().count("says wrong") < 3


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSTOP])
def test_what_dies_or_hangs_is_started_again(machine: Machine, blow: signal.Signals) -> None:
    machine.supervisor()
    machine.apply(settings(), machine.app())
    pid = machine.pods()["app-0"]["pid"]
    os.kill(pid, blow)
    until("other process", lambda: machine.pods()["app-0"]["ready"] and machine.pods()["app-0"]["pid"] != pid)
    assert machine.environment("app-0")["SAYS"] == "hello"


def test_processes_end_with_their_supervisor_even_when_it_is_killed(machine: Machine, tmp_path: Path) -> None:
    machine.supervisor()
    machine.apply(settings(), machine.app())
    supervisor = int((tmp_path / "state/supervisord.pid").read_text())
    children = [int(pid) for pid in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()]
    assert len(children) == 2  # the app and the prober
    os.kill(supervisor, signal.SIGKILL)
    until("end of the children", lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert machine.supervisor()["changed"] is True
    assert machine.apply(settings(), machine.app())["added"] == ["app-0"]


def test_a_volume_outlives_the_process_and_is_reached_through_the_environment(machine: Machine, tmp_path: Path) -> None:
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "films"}, "spec": {}}
    app = machine.app(
        env=[{"name": "FILMS", "value": "/var/films"}], volumeMounts=[{"name": "films", "mountPath": "/var/films"}]
    )
    volumes = [{"name": "films", "persistentVolumeClaim": {"claimName": "films"}}]
    app["spec"]["template"]["spec"]["volumes"] = volumes
    machine.supervisor()
    machine.apply(settings(), claim, app)
    folder = Path(machine.environment("app-0")["FILMS"])
    (folder / "film").write_text("kept")
    machine.apply(settings(SAYS="anew"), claim, app)
    assert (Path(machine.environment("app-0")["FILMS"]) / "film").read_text() == "kept"


def test_secrets_are_neither_shown_nor_readable_by_others(machine: Machine, tmp_path: Path) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"PASSWORD": "geheim"}}
    env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "s", "key": "PASSWORD"}}}]
    machine.supervisor()
    secrets = base64.b64encode(json.dumps([secret]).encode()).decode()
    done = machine.apply(settings(), machine.app(env=env), secrets=secrets)
    assert machine.environment("app-0")["PASSWORD"] == "geheim"
    assert "Secret s" in done["diff"]["after"]
    assert "geheim" not in json.dumps(done) and secrets not in json.dumps(done)
    holders = [p for p in (tmp_path / "state").rglob("*") if p.is_file() and b"geheim" in p.read_bytes()]
    assert holders
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


def test_pruning_leaves_the_named_components(machine: Machine) -> None:
    machine.supervisor()
    machine.apply(settings("a"), machine.app("a", reads="a"), component="a")
    machine.apply(settings("b"), machine.app("b", reads="b"), component="b")
    done = machine.call("local_workload", only=["a"], **machine.dirs)
    assert done["removed"] == ["b-0"]
    assert list(machine.pods()) == ["a-0"]


def test_after_a_stop_only_what_is_applied_again_runs(machine: Machine) -> None:
    machine.supervisor()
    machine.apply(settings("a"), machine.app("a", reads="a"), component="a")
    machine.apply(settings("b"), machine.app("b", reads="b"), component="b")
    addresses = {name: pod["address"] for name, pod in machine.pods().items()}
    assert machine.supervisor("stopped")["changed"] is True
    assert machine.supervisor("stopped")["changed"] is False
    machine.supervisor()
    machine.apply(settings("b"), machine.app("b", reads="b"), component="b")
    assert {name: pod["address"] for name, pod in machine.pods().items()} == {"b-0": addresses["b-0"]}


def test_a_start_and_another_stop_wait_for_a_stop_that_is_under_way(machine: Machine, tmp_path: Path) -> None:
    machine.supervisor()
    lingerer = machine.app(command=["lingerer"])
    container = lingerer["spec"]["template"]["spec"]["containers"][0]
    del container["readinessProbe"], container["livenessProbe"]
    machine.apply(settings(SAYS=str(tmp_path / "it")), lingerer)
    until("process that takes signals", (tmp_path / "it.listens").exists)
    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(machine.supervisor, "stopped")
        until("request to its process that it end", (tmp_path / "it.asked").exists)
        for state in ("started", "stopped"):
            assert machine.supervisor(state, wait_timeout=1)["msg"] == "the supervisor did not end within 1 s"
        (tmp_path / "it.may-end").touch()
        assert stopped.result()["changed"] is True
    assert machine.supervisor()["changed"] is True
    assert machine.pods() == {}
