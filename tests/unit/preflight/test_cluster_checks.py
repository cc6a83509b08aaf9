"""Each check of a cluster's hosts finds what it is for, tells what to do, and finds nothing else."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable
from typing import Any

import checkout
import pytest
from ansible_collections.cctv.pipeline.plugins.module_utils.node import FEATURES
from ansible_collections.cctv.pipeline.plugins.plugin_utils.cluster_checks import CHECKS, problems

sys.path.insert(0, str(checkout.ROOT / "tools"))
import role_readmes

ROLE = checkout.ROOT / "roles/preflight"
NOW = 1_800_000_000.0
IMAGES = role_readmes.load(ROLE / "vars/main.yml")["__preflight_images"]
BINARIES = role_readmes.load(ROLE / "vars/main.yml")["__preflight_binaries"]
PORTS = role_readmes.load(ROLE / "vars/main.yml")["__preflight_node_ports"]


def host(name: str, number: int, **groups: bool) -> dict[str, Any]:
    address = f"192.0.2.{number}"
    return {
        "host": name,
        "control_plane": False,
        "worker": False,
        "registry": False,
        "address": address,
        "peer": f"{address}:22",
        "name": name,
        "service_route_device": "",
        "kubelet_configuration": {},
        "asked": [NOW, NOW + 0.5],
        "error": {},
        "node": {
            "hostname": name,
            "machine_id": f"{number:032x}",
            "root": True,
            "clock": NOW + 0.4,
            "addresses": [address],
            "networks": [f"{address}/24"],
            "interfaces": ["lo", "eth0"],
            "default_route": True,
            "routes_to": {"10.96.0.0/12": True},
            "unreachable": {},
            "os": {"id": "debian", "version_id": "12", "codename": "bookworm"},
            "architecture": "x86_64",
            "python": "3.11.2",
            "systemd": True,
            "init": "systemd",
            "swap": [],
            "memory_mebibytes": 4000,
            "free_mebibytes": {"/var/lib": 9000, "/usr/local": 9000},
            "devices": {"/var/lib": 1, "/usr/local": 1},
            "cpus": 2,
            "ports_in_use": {},
            "udp_ports_in_use": {},
            "cgroup": "v2",
            "kernel": {"release": "6.1.0-40-amd64", "features": dict.fromkeys(FEATURES, True)},
            "packages": {},
            "kubernetes": {
                "member": False,
                "control_plane": False,
                "interrupted": "",
                "kubelet_version": "",
                "apiserver_version": "",
                "ca": "",
            },
        },
        **groups,
    }


class Site:
    """Three sound hosts, a sound bundle and sound settings, for tests to break."""

    def __init__(self) -> None:
        self.cp1 = host("cp1", 10, control_plane=True, registry=True)
        self.w1 = host("w1", 11, worker=True)
        self.w2 = host("w2", 12, worker=True)
        self.hosts = [self.cp1, self.w1, self.w2]
        self.settings: dict[str, Any] = {
            "kube_control_plane": ["cp1"],
            "control_plane_endpoint": "kube-control-plane.internal:6443",
            "control_plane_pod_cidr": "10.244.0.0/16",
            "control_plane_service_cidr": "10.96.0.0/12",
            "registry_port": 5443,
            "bundle_dir": "/srv/bundle",
            "bundle": {
                "version": "0123456789ab",
                "architecture": "amd64",
                "debian": "bookworm",
                "kubernetes_version": "v1.36.3",
                "images": {name: "v1.36.3" if "/kube-" in name else "1" for name in [*IMAGES, "cctv/video"]},
                "versions": {name: "v1.36.3" if name.startswith("kube") else "1" for name in BINARIES},
                "folders": ["bin", "cni", "deb", "images"],
            },
            "bundle_problems": [],
            "ports": copy.deepcopy(PORTS),
            "binaries": BINARIES,
            "images": IMAGES,
            "service_images": ["cctv/video:1"],
            "mounts_nfs": True,
            **role_readmes.load(ROLE / "defaults/main.yml"),
        }

    def found(self) -> list[dict[str, Any]]:
        return problems(self.hosts, self.settings)

    def join(self, *hosts: dict[str, Any], version: str = "v1.36.3", authority: str = "aa") -> None:
        """Let hosts be members of a cluster."""
        for each in hosts:
            each["node"]["kubernetes"].update(member=True, kubelet_version=version, ca=authority)
            if each["control_plane"]:
                each["node"]["kubernetes"].update(control_plane=True, apiserver_version=version)

    def lose(self, of: dict[str, Any], check: str, message: str) -> None:
        """Let a host be one that could not be looked at."""
        of.update(node={}, error={"check": check, "message": message})


@pytest.fixture
def site() -> Site:
    return Site()


Break = Callable[[Site], object]


def broken(check: str, expected: str, change: Break) -> Any:
    return pytest.param(check, expected, change, id=f"{check}: {expected[:40]}")


BROKEN = [
    broken(
        "controller",
        r"the Python that runs Ansible has no kubernetes library.*: pip install kubernetes",
        lambda s: s.settings.update(controller_has_kubernetes=False),
    ),
    broken(
        "groups",
        r"kube_control_plane has no host, while there are cp1, w1, w2: name at least one",
        lambda s: s.settings.update(kube_control_plane=[]) or s.cp1.update(control_plane=False),
    ),
    broken(
        "groups",
        r"w1: is in kube_control_plane and in kube_workers: take it out",
        lambda s: s.w1.update(control_plane=True),
    ),
    broken(
        "connection",
        r"w1: cannot be reached \(timed out\): see that it runs",
        lambda s: s.lose(s.w1, "connection", "timed out"),
    ),
    broken(
        "become",
        r"w1: its user cannot become root \(Missing sudo password\): let it use sudo",
        lambda s: s.lose(s.w1, "become", "Missing sudo password"),
    ),
    broken(
        "become",
        r"w1: tasks do not run as root there: set ansible_become: true",
        lambda s: s.w1["node"].update(root=False),
    ),
    broken("python", r"w1: has no Python .*apt-get install python3", lambda s: s.lose(s.w1, "python", "not found")),
    broken("python", r"w1: could not be looked at \(killed\)", lambda s: s.lose(s.w1, "module", "killed")),
    broken(
        "os",
        r"w1: runs ubuntu 24.04 \(noble\); expected debian 12",
        lambda s: s.w1["node"].update(os={"id": "ubuntu", "version_id": "24.04", "codename": "noble"}),
    ),
    broken(
        "os",
        r"cp1: runs debian 12 .* the bundle's packages are those of trixie",
        lambda s: (s.settings["bundle"].update(debian="trixie"), s.hosts.__delitem__(slice(1, 3))),
    ),
    broken(
        "architecture",
        r"w1: its architecture is aarch64; expected x86_64 \(amd64\)",
        lambda s: s.w1["node"].update(architecture="aarch64"),
    ),
    broken(
        "architecture",
        r"bundle_dir=/srv/bundle: is for arm64; expected a bundle for amd64",
        lambda s: s.settings["bundle"].update(architecture="arm64"),
    ),
    broken(
        "systemd",
        r"w1: its init system is runit; expected systemd",
        lambda s: s.w1["node"].update(systemd=False, init="runit"),
    ),
    broken(
        "hostname",
        r"w2: its hostname is W1, as|w2: its hostname is w1, as w1's is: give it its own",
        lambda s: s.w2["node"].update(hostname="W1"),
    ),
    broken(
        "machine_id",
        r"w2: its machine id is 0+b, as w1's is.*systemd-machine-id-setup",
        lambda s: s.w2["node"].update(machine_id=s.w1["node"]["machine_id"]),
    ),
    broken(
        "machine_id",
        r"w2: its machine id \(/etc/machine-id\) is empty; expected 32",
        lambda s: s.w2["node"].update(machine_id=""),
    ),
    broken("node_name", r"w1: node_name=Worker_1: expected a DNS name", lambda s: s.w1.update(name="Worker_1")),
    broken("node_name", r"w2: node_name=w1: is w1's too; expected a name of its own", lambda s: s.w2.update(name="w1")),
    broken(
        "address",
        r"w1: node_address=w1\.example: expected one of its IPv4 addresses: 192\.0\.2\.11",
        lambda s: s.w1.update(address="w1.example", peer=""),
    ),
    broken(
        "address",
        r"w1: node_address=127\.0\.0\.1: is no address of this host; expected one of 192\.0\.2\.11",
        lambda s: s.w1.update(address="127.0.0.1"),
    ),
    broken(
        "address",
        r"w2: node_address=192\.0\.2\.11: is w1's too",
        lambda s: (s.w2.update(address="192.0.2.11"), s.w2["node"].update(addresses=["192.0.2.11"])),
    ),
    broken(
        "address",
        r"w1: has no IPv4 address but loopback's",
        lambda s: (s.w1.update(address="", peer=""), s.w1["node"].update(addresses=[], networks=[])),
    ),
    broken(
        "time",
        r"w1: its clock is 3600 s behind the controller's; expected at most "
        r"preflight_time_tolerance_seconds=5: have it set by NTP",
        lambda s: s.w1["node"].update(clock=NOW - 3600),
    ),
    broken("time", r"w2: its clock is 60 s ahead of the controller's", lambda s: s.w2["node"].update(clock=NOW + 60.5)),
    broken(
        "swap",
        r"w1: swap is on \(/swapfile\): turn it off with `swapoff -a` .* or set failSwapOn: false",
        lambda s: s.w1["node"].update(swap=["/swapfile"]),
    ),
    broken(
        "ports",
        r"w1: TCP port 10250 is in use by nginx: end that; the kubelet needs the port",
        lambda s: s.w1["node"].update(ports_in_use={"10250": "nginx", "2379": "etcd", "5443": "x"}),
    ),
    broken(
        "ports",
        r"cp1: TCP port 7443 is in use by another process: end that; kube-apiserver",
        lambda s: (
            s.settings.update(control_plane_endpoint="api:7443"),
            s.cp1["node"].update(ports_in_use={"7443": ""}),
        ),
    ),
    broken(
        "ports",
        r"cp1: registry_port=5443: is in use by nginx; end that, or set another",
        lambda s: s.cp1["node"].update(ports_in_use={"5443": "nginx"}),
    ),
    broken(
        "ports",
        r"w1: UDP port 8472 is in use by the kernel: end that; the pod network",
        lambda s: s.w1["node"].update(udp_ports_in_use={"8472": "the kernel"}),
    ),
    broken(
        "ports",
        r"registry_port=6443: is the port of kube-apiserver; expected a port of its own",
        lambda s: s.settings.update(registry_port=6443),
    ),
    broken("ports", r"registry_port=70000: is no port; expected", lambda s: s.settings.update(registry_port=70000)),
    broken(
        "ports",
        r"control_plane_endpoint=api: expected NAME:PORT",
        lambda s: s.settings.update(control_plane_endpoint="api"),
    ),
    broken(
        "memory",
        r"cp1: has 1500 MiB of memory; expected preflight_control_plane_memory_mebibytes=1700 or more",
        lambda s: [h["node"].update(memory_mebibytes=1500) for h in s.hosts],
    ),
    broken(
        "memory",
        r"w1: has 600 MiB of memory; expected preflight_worker_memory_mebibytes=700 or more",
        lambda s: s.w1["node"].update(memory_mebibytes=600),
    ),
    broken(
        "cpus",
        r"cp1: has 1 processor; expected preflight_control_plane_cpus=2 or more",
        lambda s: [h["node"].update(cpus=1) for h in s.hosts],
    ),
    broken(
        "disk",
        r"w1: 7000 MiB are free at /var/lib and /usr/local; expected 7168 or more \(preflight_disk_mebibytes\)",
        lambda s: s.w1["node"].update(free_mebibytes={"/var/lib": 7000, "/usr/local": 7000}),
    ),
    broken(
        "disk",
        r"w1: 1000 MiB are free at /usr/local; expected 1024 or more",
        lambda s: s.w1["node"].update(
            free_mebibytes={"/var/lib": 7000, "/usr/local": 1000}, devices={"/var/lib": 1, "/usr/local": 2}
        ),
    ),
    broken(
        "cgroup",
        r"w1: its cgroup mode is hybrid, which the kubelet of Kubernetes v1\.36\.3 refuses: "
        r"boot with .* or set failCgroupV1: false",
        lambda s: s.w1["node"].update(cgroup="hybrid"),
    ),
    broken(
        "kernel",
        r"w1: its kernel 6\.1\.0-40-amd64 has no vxlan, which",
        lambda s: s.w1["node"]["kernel"]["features"].update(vxlan=False, ip_tables=False),
    ),
    broken(
        "kernel",
        r"w1: its kernel 6\.1\.0-40-amd64 has no nf_tables or ip_tables, which",
        lambda s: s.w1["node"]["kernel"]["features"].update(nf_tables=False, ip_tables=False),
    ),
    broken(
        "image_store",
        r"w1: its kernel 6\.1\.0-40-amd64 has no nfsv4, .*image_store_backend=nfs.* or set image_store_backend=local",
        lambda s: s.w1["node"]["kernel"]["features"].update(nfsv4=False),
    ),
    broken(
        "route",
        r"w1: has neither a default route nor one for services .*node_service_route_device",
        lambda s: s.w1["node"].update(default_route=False, routes_to={"10.96.0.0/12": False}),
    ),
    broken(
        "route",
        r"w1: node_service_route_device=eth7: no such interface; expected one of lo, eth0",
        lambda s: s.w1.update(service_route_device="eth7"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.244\.0\.0/33: .*; expected an IPv4 network such as",
        lambda s: s.settings.update(control_plane_pod_cidr="10.244.0.0/33"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=fd00::/64: .*; expected an IPv4 network",
        lambda s: s.settings.update(control_plane_pod_cidr="fd00::/64"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.244\.1\.0/16: .*host bits set; expected",
        lambda s: s.settings.update(control_plane_pod_cidr="10.244.1.0/16"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.244\.0\.0/25: expected a prefix from /8 to /24",
        lambda s: s.settings.update(control_plane_pod_cidr="10.244.0.0/25"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.244\.0\.0/23: has room for 2 nodes .*expected one for 3",
        lambda s: s.settings.update(control_plane_pod_cidr="10.244.0.0/23"),
    ),
    broken(
        "cidr",
        r"control_plane_service_cidr=10\.0\.0\.0/11: expected a prefix from /12",
        lambda s: s.settings.update(control_plane_service_cidr="10.0.0.0/11"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.96\.0\.0/16: overlaps control_plane_service_cidr=10\.96\.0\.0/12",
        lambda s: s.settings.update(control_plane_pod_cidr="10.96.0.0/16"),
    ),
    broken(
        "cidr",
        r"control_plane_pod_cidr=10\.244\.0\.0/16: "
        r"overlaps the networks of w1 \(10\.244\.3\.4/24\), w2 \(10\.244\.3\.5/24\)",
        lambda s: (s.w1["node"]["networks"].append("10.244.3.4/24"), s.w2["node"]["networks"].append("10.244.3.5/24")),
    ),
    broken(
        "network",
        r"w1: cannot reach w2 at 192\.0\.2\.12:22 \(no answer in 2 s\): let all hosts reach each other",
        lambda s: s.w1["node"].update(unreachable={"192.0.2.12:22": "no answer in 2 s"}),
    ),
    broken(
        "bundle",
        r"bundle_dir=/srv/bundle: bin/kubelet: has SHA-256 .*build it with playbooks/bundle\.yml",
        lambda s: s.settings.update(bundle_problems=["bin/kubelet: has SHA-256 x; expected y"]),
    ),
    broken(
        "bundle",
        r"bundle_dir=/srv/bundle: has no kubelet, deb/: build it anew",
        lambda s: (s.settings["bundle"]["versions"].pop("kubelet"), s.settings["bundle"]["folders"].remove("deb")),
    ),
    broken(
        "bundle",
        r"bundle_dir=/srv/bundle: its kubelet is v1\.35\.0; expected v1\.36\.3",
        lambda s: s.settings["bundle"]["versions"].update(kubelet="v1.35.0"),
    ),
    broken(
        "images",
        r"bundle_dir=/srv/bundle: has no image registry\.k8s\.io/pause, which the cluster needs",
        lambda s: s.settings["bundle"]["images"].pop("registry.k8s.io/pause"),
    ),
    broken(
        "images",
        r"bundle_dir=/srv/bundle: its image registry\.k8s\.io/kube-proxy is v1\.35\.0; expected v1\.36\.3",
        lambda s: s.settings["bundle"]["images"].update({"registry.k8s.io/kube-proxy": "v1.35.0"}),
    ),
    broken(
        "images",
        r"bundle_dir=/srv/bundle: its image cctv/video is 0; expected 1, of the sources that this collection has: "
        r"build it anew",
        lambda s: s.settings["bundle"]["images"].update({"cctv/video": "0"}),
    ),
    broken(
        "images",
        r"bundle_dir=/srv/bundle: has no image cctv/video, which the cluster needs",
        lambda s: s.settings["bundle"]["images"].pop("cctv/video"),
    ),
    broken(
        "version",
        r"cp1: runs Kubernetes v1\.36\.4, while the bundle has v1\.36\.3; "
        r"Kubernetes cannot be downgraded: use a bundle of v1\.36\.4 or later",
        lambda s: s.join(s.cp1, version="v1.36.4"),
    ),
    broken(
        "version",
        r"cp1: runs Kubernetes v1\.34\.9, .*kubeadm upgrades by one minor version at a time: use a bundle of v1\.34\.9",
        lambda s: s.join(s.cp1, version="v1.34.9"),
    ),
    broken(
        "version",
        r"cp1: runs Kubernetes v1\.35\.0, .*upgrades are not done by site\.yml: use a bundle of v1\.35\.0",
        lambda s: s.join(s.cp1, version="v1.35.0"),
    ),
    broken(
        "membership",
        r"w1: belongs to a cluster that no host of kube_control_plane belongs to: "
        r"give it back with `playbooks/reset\.yml --limit w1`",
        lambda s: s.join(s.w1),
    ),
    broken(
        "membership",
        r"w1: belongs to another cluster than cp1 .*: give it back",
        lambda s: (s.join(s.cp1), s.join(s.w1, authority="bb")),
    ),
    broken(
        "membership",
        r"w1: is part of a control plane, but not in kube_control_plane",
        lambda s: (s.join(s.cp1, s.w1), s.w1["node"]["kubernetes"].update(control_plane=True)),
    ),
]


def test_sound_hosts_have_no_problems(site: Site) -> None:
    assert site.found() == []


def test_a_running_cluster_has_no_problems(site: Site) -> None:
    site.join(*site.hosts)
    for each in site.hosts:
        each["node"].update(free_mebibytes={"/var/lib": 1000, "/usr/local": 1000})
    assert site.found() == []


@pytest.mark.parametrize(("check", "expected", "change"), BROKEN)
def test_each_check(site: Site, check: str, expected: str, change: Break) -> None:
    change(site)
    (problem,) = site.found()
    assert problem["check"] == check
    assert re.match(expected, problem["message"]), problem["message"]
    assert not problem["warning"]
    site.settings["preflight_ignored_checks"] = [check]
    assert site.found() == []


def test_nodes_that_mount_no_nfs_need_none(site: Site) -> None:
    site.settings["mounts_nfs"] = False
    for each in site.hosts:
        each["node"]["kernel"]["features"].update(nfsv4=False)
    assert site.found() == []


def test_every_check_is_tried() -> None:
    assert {parameter.values[0] for parameter in BROKEN} == set(CHECKS)


def test_every_check_is_documented_and_can_be_ignored() -> None:
    specs = role_readmes.load(ROLE / "meta/argument_specs.yml")["argument_specs"]
    assert specs["main"]["options"]["preflight_ignored_checks"]["choices"] == list(CHECKS)
    described = " ".join(line.split(": ")[0] for line in specs["cluster"]["description"])
    assert re.findall(r"C\((\w+)\)", described) == list(CHECKS)


def test_problems_are_told_by_host(site: Site) -> None:
    site.w2["node"].update(swap=["/swapfile"], systemd=False)
    site.w1["node"].update(cgroup="v1", systemd=False)
    site.settings.update(control_plane_pod_cidr="nonsense")
    assert [(problem["host"], problem["check"]) for problem in site.found()] == [
        ("", "cidr"), ("w1", "systemd"), ("w1", "cgroup"), ("w2", "systemd"), ("w2", "swap"),
    ]  # fmt: skip


def test_an_even_control_plane_is_told_and_does_no_harm(site: Site) -> None:
    site.w1.update(control_plane=True, worker=False)
    site.settings["kube_control_plane"] = ["cp1", "w1"]
    (problem,) = site.found()
    assert problem["warning"] and problem["message"].startswith("kube_control_plane has 2 hosts: an even number")


def test_what_the_kubelet_is_told_to_bear_is_no_problem(site: Site) -> None:
    site.w1["node"].update(swap=["/swapfile"], cgroup="v1")
    site.w1["kubelet_configuration"] = {"failSwapOn": False, "failCgroupV1": False}
    assert site.found() == []


def test_older_kubernetes_takes_cgroup_v1(site: Site) -> None:
    bundle = site.settings["bundle"]
    for versions in (bundle["images"], bundle["versions"]):
        versions.update({name: "v1.34.1" for name, version in versions.items() if version != "1"})
    bundle["kubernetes_version"] = "v1.34.1"
    site.w1["node"].update(cgroup="v1")
    assert site.found() == []


@pytest.mark.parametrize("device", ["", "eth0"])
def test_a_host_without_default_route_needs_one_to_services(site: Site, device: str) -> None:
    site.w1["node"].update(default_route=False, routes_to={"10.96.0.0/12": not device})
    site.w1["service_route_device"] = device
    assert site.found() == []


def test_a_controller_with_a_wrong_clock_is_nobodys_fault(site: Site) -> None:
    for each in site.hosts:
        each["node"]["clock"] += 7200
    assert site.found() == []
    site.w2["node"]["clock"] -= 3600
    (problem,) = site.found()
    assert problem["message"].startswith("w2: its clock is 3600 s behind cp1's")


def test_a_slow_answer_is_no_wrong_clock(site: Site) -> None:
    site.w1["asked"] = [NOW, NOW + 60]
    site.w1["node"]["clock"] = NOW + 30
    assert site.found() == []


def test_nobody_complains_of_a_host_that_is_away(site: Site) -> None:
    site.lose(site.w2, "connection", "timed out")
    for each in (site.cp1, site.w1):
        each["node"]["unreachable"] = {"192.0.2.12:22": "no answer in 2 s"}
    assert [problem["host"] for problem in site.found()] == ["w2"]


def test_a_host_of_the_registry_alone_need_be_no_node(site: Site) -> None:
    store = host("store", 13, registry=True)
    site.hosts.append(store)
    store["node"].update(
        swap=["/swapfile"],
        cgroup="v1",
        memory_mebibytes=500,
        default_route=False,
        routes_to={},
        udp_ports_in_use={"8472": "x"},
    )
    assert site.found() == []
    store["node"].update(ports_in_use={"5443": "nginx", "10250": "x"})
    (problem,) = site.found()
    assert problem["message"].startswith("store: registry_port=5443: is in use by nginx")


def test_without_a_bundle_that_alone_is_told_of_it(site: Site) -> None:
    site.settings.update(
        bundle={}, bundle_problems=["/srv/bundle/bundle.json cannot be read: No such file or directory"]
    )
    (problem,) = site.found()
    assert problem["check"] == "bundle"


def test_a_wholly_damaged_bundle_is_told_briefly(site: Site) -> None:
    site.settings["bundle_problems"] = [f"images/{number}: is missing" for number in range(1000)]
    found = site.found()
    assert len(found) < 12
    assert found[-1]["message"] == "bundle_dir=/srv/bundle: 992 more files are missing or damaged"


@pytest.mark.parametrize("interrupted", ["init", "join"])
def test_an_interrupted_run_is_taken_up_again(site: Site, interrupted: str) -> None:
    broken_off = site.cp1 if interrupted == "init" else site.w1
    site.join(site.cp1)
    site.join(site.w1, authority="aa" if interrupted == "init" else "")
    broken_off["node"]["kubernetes"]["interrupted"] = interrupted
    assert site.found() == []


def test_a_limited_run_judges_what_it_sees(site: Site) -> None:
    site.join(site.w1)
    site.hosts[:] = [site.w1]
    assert site.found() == []
