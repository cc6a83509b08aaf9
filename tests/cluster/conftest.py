"""A bundle, and a root with folders of its own for Molecule's scenarios on nodes that are containers."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import checkout
import pytest
import yaml
from containers import podman
from user import User

# As the Makefile has it.
TEST_CACHE = Path(os.environ.get("TEST_CACHE", "/var/cache/cctv-pipeline-tests"))
# What kubelets, and the role node, set in the kernel that this machine and its containers share.
KERNEL_SETTINGS = (
    "fs/inotify/max_user_instances",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
BUNDLE_TIMEOUT_S = 3600
SCENARIO_TIMEOUT_S = 1800


class Nodes:
    """What a scenario makes with podman: containers, a volume for each, a network."""

    def __init__(self, scenario: str) -> None:
        inventory = yaml.safe_load((checkout.ROOT / f"molecule/{scenario}/inventory/hosts.yml").read_text())
        self._network = inventory["bare_nodes"]["vars"]["bare_nodes_network"]

    def left(self) -> dict[str, list[str]]:
        """The names of what is there of them, by what they are."""
        found = {
            "container": podman("ps", "--all", "--filter", f"name=^{self._network}-", "--format", "{{.Names}}"),
            "volume": podman("volume", "ls", "--filter", f"name=^{self._network}-", "--format", "{{.Name}}"),
            "network": podman("network", "ls", "--filter", f"name=^{self._network}$", "--format", "{{.Name}}"),
        }
        return {kind: names for kind, names in found.items() if names}

    def remove(self) -> None:
        """Remove what is there of them."""
        for kind, names in self.left().items():
            podman(kind, "rm", "--force", *names)


@pytest.fixture
def root() -> Iterator[User]:
    """Root, with another home than its own."""
    # Short, because a socket's path has at most 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="cctv-"))
    made = User(folder, 0, 0)
    made.environment |= {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "TEST_CACHE": str(TEST_CACHE),
        # Where the bundle is; see `bundle`.
        "XDG_DATA_HOME": str(TEST_CACHE / "data"),
        "MOLECULE_EPHEMERAL_DIRECTORY": str(made.make("nodes")),
    }
    try:
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def bundle(root: User) -> Path:
    """The bundle, of which only that is built which changed since it was built last."""
    # Go and its caches, and downloads, are those of whatever else this machine builds.
    shared = {name: os.environ[name] for name in ("HOME", "PATH", "XDG_CACHE_HOME") if name in os.environ}
    built = TEST_CACHE / "data/cctv-pipeline/bundle"
    root.run(
        *("ansible-playbook", "playbooks/bundle.yml"),
        *("-e", f"bundle_dir={built}", "-e", f"bundle_cache_dir={TEST_CACHE / 'bundle'}", "-e", "bundle_tar=false"),
        cwd=checkout.ROOT,
        log="bundle.log",
        timeout_s=BUNDLE_TIMEOUT_S,
        **shared,
    )
    return built


@pytest.fixture
def kernel() -> Iterator[None]:
    """Leave the kernel's settings as they were."""
    files = [Path("/proc/sys", name) for name in KERNEL_SETTINGS]
    found = [(file, file.read_text()) for file in files if file.exists()]
    yield
    for file, value in found:
        if file.read_text() != value:
            file.write_text(value)


@pytest.fixture
def molecule_test(root: User, bundle: Path, kernel: None) -> Iterator[Callable[..., None]]:
    """Run a scenario from nothing to nothing."""
    made = []

    def run(scenario: str, timeout_s: float = SCENARIO_TIMEOUT_S) -> None:
        nodes = Nodes(scenario)
        made.append(nodes)
        source = checkout.copy_to(root.folder / "checkout")
        root.run(
            *("molecule", "test", "--scenario-name", scenario),
            cwd=source,
            log=f"molecule-{scenario}.log",
            timeout_s=timeout_s,
        )
        assert nodes.left() == {}
        assert root.processes() == []

    try:
        yield run
    finally:
        # Molecule does so too, unless it was killed.
        for nodes in made:
            nodes.remove()
