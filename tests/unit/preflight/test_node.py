"""What is read of a host, from what its kernel and its files say."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from ansible_collections.cctv.pipeline.plugins.action.node_info import cause, failure
from ansible_collections.cctv.pipeline.plugins.filter.cluster import node_peers
from ansible_collections.cctv.pipeline.plugins.module_utils import node

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00D50A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0
   1: 0100007F:C350 0100007F:1538 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0
   2: 00000000000000000000000000000000:280A 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4713 1
"""
STATUS = """\
Package: iptables
Status: install ok installed
Version: 1.8.9-2

Package: socat
Status: deinstall ok config-files

Package: conntrack-tools
Status: install ok installed
"""
MANIFEST = """\
spec:
  containers:
  - command: [kube-apiserver]
    image: registry.k8s.io/kube-apiserver:v1.36.3
"""


def test_os_release() -> None:
    content = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nID=debian\n'
    assert node.os_release(content) == {"id": "debian", "version_id": "12", "codename": "bookworm"}
    assert node.os_release("") == {"id": "", "version_id": "", "codename": ""}


def test_swaps() -> None:
    head = "Filename\t\t\t\tType\t\tSize\n"
    assert node.swaps(head) == []
    assert node.swaps(head + "/dev/sda2 partition 1 0 -2\n/swapfile file 1 0 -3\n") == ["/dev/sda2", "/swapfile"]


def test_name_servers() -> None:
    assert node.name_servers("search x\nnameserver 192.0.2.53\n# nameserver 192.0.2.54\n") == ["192.0.2.53"]
    assert node.name_servers("") == []


@pytest.mark.parametrize(
    ("line", "there"),
    [
        ("", False),
        ("eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", True),
        ("*\t00000000\t00000000\t0201\t0\t0\t0\t00000000\t0\t0\t0\n", False),  # unreachable default
        ("eth0\t00000000\t0100A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", False),  # 0.0.0.0/1
    ],
)
def test_default_route(line: str, there: bool) -> None:
    assert node.has_default_route(ROUTES + line) is there


def test_listening_sockets() -> None:
    assert list(node.sockets(TCP, node.LISTENING)) == [(5432, "4711"), (10250, "4713")]


def test_packages() -> None:
    assert node.installed(STATUS, ["iptables", "socat", "conntrack"]) == {
        "iptables": True,
        "socat": False,
        "conntrack": False,
    }


def test_version_of_a_static_pod() -> None:
    assert node.image_tag(MANIFEST, "kube-apiserver") == "v1.36.3"
    assert node.image_tag(MANIFEST, "etcd") == ""


@pytest.mark.parametrize(
    ("unified", "hybrid", "mode"), [(True, False, "v2"), (False, True, "hybrid"), (False, False, "v1")]
)
def test_cgroup_mode(unified: bool, hybrid: bool, mode: str) -> None:
    assert node.cgroup_mode(unified, hybrid) == mode


def test_addresses_as_netlink_tells_them() -> None:
    def attribute(kind: int, address: str) -> bytes:
        return struct.pack("=HH", 8, kind) + socket.inet_aton(address)

    def message(index: int, prefix: int, attributes: bytes) -> bytes:
        body = struct.pack("=BBBBI", socket.AF_INET, prefix, 0, 0, index) + attributes
        return struct.pack("=IHHII", 16 + len(body), 20, 2, 1, 0) + body

    plain = message(2, 24, attribute(1, "192.0.2.10") + attribute(2, "192.0.2.10"))
    peer = message(3, 32, attribute(1, "192.0.2.1") + attribute(2, "198.51.100.7"))
    done = struct.pack("=IHHIII", 20, 3, 2, 1, 0, 0)
    assert list(node.parse_addresses(plain + peer + done + plain)) == [(2, "192.0.2.10/24"), (3, "198.51.100.7/32")]


@pytest.mark.parametrize(
    ("name", "program", "member", "own"),
    [
        ("kubelet", "/usr/local/bin/kubelet", True, True),
        ("kubelet", "/usr/local/bin/kubelet", False, False),
        ("kube-controller", "/usr/local/bin/kube-controller-manager", True, True),
        ("cctv-registry", "/usr/local/bin/cctv-registry", False, True),
        ("registry", "/usr/bin/docker-registry", True, False),
        ("nginx", "/usr/sbin/nginx", True, False),
        ("", "", True, True),  # not for us to see
        ("", "", False, False),
    ],
)
def test_whose_a_port_is(name: str, program: str, member: bool, own: bool) -> None:
    assert node.is_own(name, program, member) is own


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_peers_that_answer_or_refuse_are_reached(listener: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        refusing = server.getsockname()[1]
    unreached = node.unreachable([f"127.0.0.1:{listener}", f"127.0.0.1:{refusing}", "127.0.0.1:70000", "nonsense"])
    assert set(unreached) == {"127.0.0.1:70000", "nonsense"}


def test_a_strangers_port_is_told_with_its_process(listener: int) -> None:
    used, __ = node.ports_in_use(frozenset({listener}), frozenset(), False, [])
    assert set(used) == {str(listener)}
    assert used[str(listener)].startswith(("python", "pytest"))


def test_this_machine_can_be_looked_at() -> None:
    found = node.look(paths=["/var/lib/not/there"], packages=["bash"], routes_to=["127.0.0.0/8", "nonsense"])
    assert found["free_mebibytes"]["/var/lib/not/there"] > 0
    assert found["routes_to"] == {"127.0.0.0/8": True, "nonsense": False}
    assert found["root"] is (os.geteuid() == 0)
    assert set(found["kernel"]["features"]) == set(node.FEATURES)
    assert not any(address.startswith("127.") for address in found["addresses"])


@pytest.mark.parametrize(
    ("result", "check", "message"),
    [
        (
            {
                "unreachable": True,
                "msg": "Failed to connect to the host via ssh: ssh: connect to host h port 22: No route",
            },
            "connection",
            "ssh: connect to host h port 22: No route",
        ),
        ({"msg": "Missing sudo password"}, "become", "Missing sudo password"),
        (
            {"module_stderr": "/bin/sh: 1: sudo: not found\n", "msg": "deserialization failed"},
            "become",
            "/bin/sh: 1: sudo: not found",
        ),
        (
            {"module_stderr": "/bin/sh: 1: /usr/bin/python3: not found\n", "msg": "?"},
            "python",
            "/bin/sh: 1: /usr/bin/python3: not found",
        ),
        ({"module_stderr": "Traceback (most recent call last):\n  x\nMemoryError: y\n"}, "module", "MemoryError: y"),
        ({"rc": 137}, "module", "a module ended with rc=137 and said nothing"),
    ],
)
def test_why_a_host_cannot_be_looked_at(result: dict[str, object], check: str, message: str) -> None:
    told = failure(result)
    assert (cause(told, result.get("unreachable")), told) == (check, message)


def test_where_hosts_try_to_reach_each_other() -> None:
    hostvars = {
        "192.0.2.1": {},
        "a": {"ansible_host": "192.0.2.2", "ansible_port": 2222},
        "b": {"ansible_host": "b.example"},
        "c": {"ansible_host": "192.0.2.3", "node_address": "198.51.100.3"},
        "d": {"node_address": "d.example"},
    }
    assert node_peers(hostvars, hostvars) == {
        "192.0.2.1": {"address": "192.0.2.1", "peer": "192.0.2.1:22"},
        "a": {"address": "192.0.2.2", "peer": "192.0.2.2:2222"},
        "b": {"address": "", "peer": ""},
        "c": {"address": "198.51.100.3", "peer": "198.51.100.3:22"},
        "d": {"address": "d.example", "peer": ""},
    }
