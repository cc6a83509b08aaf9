# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Says what keeps hosts from becoming, or staying, one cluster. Pure: it knows only what the hosts told and what is set.

A host is a dict with ``host``, ``control_plane``, ``worker``, ``registry`` (whether it is in these groups), ``address`` (where the others
reach it; empty when that is its first one), ``peer`` (address and port at which they try), ``name``, ``service_route_device``,
``kubelet_configuration``, and what the module node_info returned: ``node``, ``asked`` and, when it failed, ``error``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Host = Mapping[str, Any]

DEBIAN = {"12": "bookworm"}
ARCHITECTURES = {"x86_64": "amd64"}
DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
DNS_NAME = re.compile(rf"{DNS_LABEL}(\.{DNS_LABEL})*")
# From here on the kubelet refuses cgroup v1 unless told otherwise.
CGROUP_V2_SINCE = (1, 35)
# kube-controller-manager's --node-cidr-mask-size, and the most that it and kube-apiserver take.
NODE_PREFIX = 24
LARGEST_POD_PREFIX = NODE_PREFIX - 16
LARGEST_SERVICE_PREFIX = 12
# One of these is enough: kube-proxy and flannel take what iptables takes.
FILTERS = ("nf_tables", "ip_tables")
# What only those need that mount the image store over NFS.
NFS = "nfsv4"
# The lines of a damaged bundle that are shown; it has thousands of files.
SHOWN = 8


class Problem(NamedTuple):
    """What is wrong: with a host, or, when that is empty, with a setting or with all of them."""

    host: str
    message: str
    warning: bool = False


class Cluster:
    """All hosts and settings, with what several checks need."""

    def __init__(self, hosts: list[Host], settings: Mapping[str, Any]) -> None:
        self.hosts = hosts
        self.settings = settings
        self.bundle = settings["bundle"] or {}
        # Of a host that could not be looked at only that can be said.
        self.seen = [host for host in hosts if host["node"]]
        self.nodes = [host for host in self.seen if host["control_plane"] or host["worker"]]

    def setting(self, name: str) -> str:
        """How a setting is told."""
        return f"{name}={self.settings[name]}"


Check = Callable[[Cluster], Iterator[Problem]]
CHECKS: dict[str, Check] = {}
"""By the names that preflight_ignored_checks takes, in the order in which problems are told."""


def check(function: Check) -> Check:
    """Register a check under its name."""
    CHECKS[function.__name__.removeprefix("check_")] = function
    return function


def problems(hosts: list[Host], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all problems, those of settings first, then host by host."""
    cluster = Cluster(hosts, settings)
    order = {"": -1} | {host["host"]: number for number, host in enumerate(hosts)}
    found = [
        {
            "host": problem.host,
            "check": name,
            "message": f"{problem.host}: {problem.message}" if problem.host else problem.message,
            "warning": problem.warning,
        }
        for name, function in CHECKS.items()
        if name not in settings["preflight_ignored_checks"]
        for problem in function(cluster)
    ]
    return sorted(found, key=lambda problem: order[problem["host"]])


def address_of(host: Host) -> str:
    """Where other nodes reach a host."""
    return str(host["address"] or next(iter(host["node"].get("addresses") or []), ""))


def is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version such as v1.36.3; none when it is no version."""
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", text or "")
    return tuple(map(int, found.groups())) if found else ()


def repeated(hosts: list[Host], value: Callable[[Host], str]) -> Iterator[tuple[Host, str, Host]]:
    """Yield each host whose value an earlier one has too, with the value and that one."""
    first: dict[str, Host] = {}
    for host in hosts:
        own = value(host)
        if own and first.setdefault(own, host) is not host:
            yield host, own, first[own]


@check
def check_controller(cluster: Cluster) -> Iterator[Problem]:
    if not cluster.settings.get("controller_has_kubernetes", True):
        yield Problem(
            "",
            "the Python that runs Ansible has no kubernetes library, which kubernetes.core needs: pip install kubernetes",
        )


@check
def check_groups(cluster: Cluster) -> Iterator[Problem]:
    control_planes = cluster.settings["kube_control_plane"]
    if not control_planes:
        named = ", ".join(host["host"] for host in cluster.hosts)
        yield Problem("", f"kube_control_plane has no host, while there are {named}: name at least one, better three")
    for host in cluster.hosts:
        if host["control_plane"] and host["worker"]:
            yield Problem(host["host"], "is in kube_control_plane and in kube_workers: take it out of one of them")
    if control_planes and len(control_planes) % 2 == 0:
        yield Problem(
            "",
            f"kube_control_plane has {len(control_planes)} hosts: an even number survives the loss of no more hosts than one less "
            "would, and can fail in more ways; expected 1, 3 or 5",
            warning=True,
        )


@check
def check_connection(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.hosts:
        error = host.get("error") or {}
        if error.get("check") == "connection":
            yield Problem(
                host["host"],
                f"cannot be reached ({error['message']}): see that it runs, and that ansible_host, ansible_port, "
                "ansible_user and the SSH key are right",
            )


@check
def check_become(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.hosts:
        error = host.get("error") or {}
        if error.get("check") == "become":
            yield Problem(
                host["host"],
                f"its user cannot become root ({error['message']}): let it use sudo without a password, or give --ask-become-pass",
            )
    for host in cluster.seen:
        if not host["node"]["root"]:
            yield Problem(host["host"], "tasks do not run as root there: set ansible_become: true")


@check
def check_python(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.hosts:
        error = host.get("error") or {}
        if error.get("check") == "python":
            yield Problem(
                host["host"],
                f"has no Python that Ansible can use ({error['message']}): apt-get install python3 there, "
                "or name another one in ansible_python_interpreter",
            )
        elif error.get("check") == "module":
            yield Problem(
                host["host"], f"could not be looked at ({error['message']}): see what keeps modules from running there"
            )


@check
def check_os(cluster: Cluster) -> Iterator[Problem]:
    suite = cluster.bundle.get("debian")
    for host in cluster.seen:
        found = host["node"]["os"]
        told = " ".join(
            filter(None, (found["id"], found["version_id"], found["codename"] and f"({found['codename']})"))
        )
        if found["id"] != "debian" or found["version_id"] not in DEBIAN:
            yield Problem(host["host"], f"runs {told or 'an unknown system'}; expected debian 12 (bookworm)")
        elif suite and suite != (found["codename"] or DEBIAN[found["version_id"]]):
            yield Problem(
                host["host"],
                f"runs {told}, while the bundle's packages are those of {suite}: build a bundle for this release "
                "with playbooks/bundle.yml",
            )


@check
def check_architecture(cluster: Cluster) -> Iterator[Problem]:
    wanted = cluster.bundle.get("architecture") or "amd64"
    if wanted not in ARCHITECTURES.values():
        yield Problem(
            "", f"{cluster.setting('bundle_dir')}: is for {wanted}; expected a bundle for amd64 (playbooks/bundle.yml)"
        )
        return
    for host in cluster.seen:
        found = host["node"]["architecture"]
        if ARCHITECTURES.get(found, found) != wanted:
            yield Problem(
                host["host"], f"its architecture is {found}; expected x86_64 ({wanted}), which the bundle is for"
            )


@check
def check_systemd(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.seen:
        if not host["node"]["systemd"]:
            yield Problem(
                host["host"],
                f"its init system is {host['node']['init'] or 'unknown'}; expected systemd, which runs containerd and the kubelet",
            )


@check
def check_hostname(cluster: Cluster) -> Iterator[Problem]:
    for host, name, other in repeated(cluster.seen, lambda host: host["node"]["hostname"].lower()):
        yield Problem(
            host["host"],
            f"its hostname is {name}, as {other['host']}'s is: give it its own with `hostnamectl set-hostname NAME`",
        )


@check
def check_machine_id(cluster: Cluster) -> Iterator[Problem]:
    repair = "make one with `rm -f /etc/machine-id /var/lib/dbus/machine-id; systemd-machine-id-setup`, and reboot"
    for host in cluster.seen:
        found = host["node"]["machine_id"]
        if not re.fullmatch("[0-9a-f]{32}", found):
            yield Problem(
                host["host"],
                f"its machine id (/etc/machine-id) is {found or 'empty'}; expected 32 hexadecimal digits: {repair}",
            )
    for host, found, other in repeated(cluster.seen, lambda host: host["node"]["machine_id"]):
        yield Problem(host["host"], f"its machine id is {found}, as {other['host']}'s is, which clones have: {repair}")


@check
def check_node_name(cluster: Cluster) -> Iterator[Problem]:
    nodes = [host for host in cluster.hosts if host["control_plane"] or host["worker"]]
    for host in nodes:
        name = str(host["name"])
        if len(name) > 253 or not DNS_NAME.fullmatch(name):
            yield Problem(
                host["host"],
                f"node_name={name}: expected a DNS name: lower-case letters, digits, '-' and '.', such as worker-1 "
                "(it is the name in the inventory unless set)",
            )
    for host, name, other in repeated(nodes, lambda host: str(host["name"])):
        yield Problem(host["host"], f"node_name={name}: is {other['host']}'s too; expected a name of its own")


@check
def check_address(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.seen:
        address, own = address_of(host), host["node"]["addresses"]
        if not address:
            yield Problem(host["host"], "has no IPv4 address but loopback's: give it one that the other hosts reach")
        elif not is_ipv4(address):
            yield Problem(host["host"], f"node_address={address}: expected one of its IPv4 addresses: {', '.join(own)}")
        elif address not in own:
            yield Problem(
                host["host"],
                f"node_address={address}: is no address of this host; expected one of {', '.join(own) or 'its own'} "
                "(it is ansible_host unless set)",
            )
    for host, address, other in repeated(cluster.seen, address_of):
        yield Problem(host["host"], f"node_address={address}: is {other['host']}'s too; expected an address of its own")


@check
def check_time(cluster: Cluster) -> Iterator[Problem]:
    tolerance = float(cluster.settings["preflight_time_tolerance_seconds"])
    # How far each clock is ahead of the controller's: between these two, as nobody knows how long question and answer took.
    ahead = {
        host["host"]: (host["node"]["clock"] - host["asked"][1], host["node"]["clock"] - host["asked"][0])
        for host in cluster.seen
    }
    ahead = {"": (0.0, 0.0)} | ahead

    def apart(one: str, other: str) -> float:
        """By how much the first is at least ahead of the second; negative when it is behind."""
        (low, high), (other_low, other_high) = ahead[one], ahead[other]
        return max(low - other_high, 0.0) or min(high - other_low, 0.0)

    # The clock that most agree with is right: it need not be the controller's, which comes first in doubt.
    right = max(ahead, key=lambda one: sum(abs(apart(one, other)) <= tolerance for other in ahead))
    for host in ahead:
        wrong = apart(host, right)
        if host and abs(wrong) > tolerance:
            than = f"{right}'s" if right else "the controller's"
            yield Problem(
                host,
                f"its clock is {abs(wrong):.0f} s {'ahead of' if wrong > 0 else 'behind'} {than}; expected at most "
                f"preflight_time_tolerance_seconds={tolerance:g}: have it set by NTP (systemd-timesyncd or chrony)",
            )


@check
def check_swap(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.nodes:
        if host["node"]["swap"] and (host["kubelet_configuration"] or {}).get("failSwapOn") is not False:
            yield Problem(
                host["host"],
                f"swap is on ({', '.join(host['node']['swap'])}): turn it off with `swapoff -a` and remove it from /etc/fstab, "
                "or set failSwapOn: false in node_kubelet_configuration",
            )


@check
def check_ports(cluster: Cluster) -> Iterator[Problem]:
    ports = {group: {int(port): what for port, what in of.items()} for group, of in cluster.settings["ports"].items()}
    endpoint = str(cluster.settings["control_plane_endpoint"])
    name, _separator, port = endpoint.rpartition(":")
    if not DNS_NAME.fullmatch(name) or not port.isdigit() or not 0 < int(port) < 65536:
        yield Problem(
            "",
            f"{cluster.setting('control_plane_endpoint')}: expected NAME:PORT, such as kube-control-plane.internal:6443",
        )
    else:
        ports["control_plane"][int(port)] = "kube-apiserver"
    registry_port = int(cluster.settings["registry_port"])
    taken = {**ports["control_plane"], **ports["worker"]}
    if not 0 < registry_port < 65536 or registry_port in taken:
        why = f"is the port of {taken[registry_port]}" if registry_port in taken else "is no port"
        yield Problem("", f"{cluster.setting('registry_port')}: {why}; expected a port of its own from 1 to 65535")
    for host in cluster.seen:
        needed = {port: what for group in ports if host[group] for port, what in ports[group].items()}
        # JSON knows no numbers as keys.
        for port, holder in sorted((int(port), holder) for port, holder in host["node"]["ports_in_use"].items()):
            by = holder or "another process"
            if port in needed:
                yield Problem(
                    host["host"], f"TCP port {port} is in use by {by}: end that; {needed[port]} needs the port"
                )
            elif host["registry"] and port == registry_port:
                yield Problem(
                    host["host"],
                    f"{cluster.setting('registry_port')}: is in use by {by}; end that, or set another port for the registry",
                )
    for host in cluster.nodes:
        for port, holder in host["node"]["udp_ports_in_use"].items():
            yield Problem(
                host["host"],
                f"UDP port {port} is in use by {holder or 'another process'}: end that; the pod network (VXLAN) needs the port",
            )


@check
def check_memory(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.nodes:
        variable = f"preflight_{'control_plane' if host['control_plane'] else 'worker'}_memory_mebibytes"
        if host["node"]["memory_mebibytes"] < int(cluster.settings[variable]):
            yield Problem(
                host["host"],
                f"has {host['node']['memory_mebibytes']} MiB of memory; expected {cluster.setting(variable)} or more",
            )


@check
def check_cpus(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.nodes:
        variable = f"preflight_{'control_plane' if host['control_plane'] else 'worker'}_cpus"
        found = host["node"]["cpus"]
        if found < int(cluster.settings[variable]):
            yield Problem(
                host["host"],
                f"has {found} processor{'' if found == 1 else 's'}; expected {cluster.setting(variable)} or more",
            )


@check
def check_disk(cluster: Cluster) -> Iterator[Problem]:
    wanted = cluster.settings["preflight_disk_mebibytes"]
    for host in cluster.seen:
        node = host["node"]
        # Paths on one file system share its room.
        shared: dict[Any, list[str]] = {}
        for path in wanted:
            shared.setdefault(node["devices"][path], []).append(path)
        for paths in shared.values():
            free = node["free_mebibytes"][paths[0]]
            # What is already there is not needed once more; a node still has to have some room.
            installed = node["kubernetes"]["member"]
            needed = sum(int(wanted[path]) for path in paths) // (8 if installed else 1)
            if free < needed:
                yield Problem(
                    host["host"],
                    f"{free} MiB are free at {' and '.join(paths)}; expected {needed} or more (preflight_disk_mebibytes)",
                )


@check
def check_cgroup(cluster: Cluster) -> Iterator[Problem]:
    kubernetes = cluster.bundle.get("kubernetes_version") or ""
    if version(kubernetes)[:2] and version(kubernetes)[:2] < CGROUP_V2_SINCE:
        return
    for host in cluster.nodes:
        if host["node"]["cgroup"] != "v2" and (host["kubelet_configuration"] or {}).get("failCgroupV1") is not False:
            yield Problem(
                host["host"],
                f"its cgroup mode is {host['node']['cgroup']}, which the kubelet of Kubernetes {kubernetes or '1.35 and later'} refuses: boot "
                "with systemd.unified_cgroup_hierarchy=1, or set failCgroupV1: false in node_kubelet_configuration",
            )


@check
def check_kernel(cluster: Cluster) -> Iterator[Problem]:
    for host in cluster.nodes:
        kernel = host["node"]["kernel"]
        missing = [name for name, there in kernel["features"].items() if not there and name not in (*FILTERS, NFS)]
        if not any(kernel["features"][name] for name in FILTERS):
            missing.append(" or ".join(FILTERS))
        if missing:
            yield Problem(
                host["host"],
                f"its kernel {kernel['release']} has no {', '.join(missing)}, which containers and the pod network need: install a "
                "kernel with these (Debian's linux-image-amd64), and boot it",
            )


@check
def check_image_store(cluster: Cluster) -> Iterator[Problem]:
    if not cluster.settings["mounts_nfs"]:
        return
    for host in cluster.nodes:
        kernel = host["node"]["kernel"]
        if not kernel["features"][NFS]:
            yield Problem(
                host["host"],
                f"its kernel {kernel['release']} has no {NFS}, so it cannot mount the image store (image_store_backend=nfs): install a kernel "
                "with it (Debian's linux-image-amd64) and boot that, or set image_store_backend=local or image_store_storage_class",
            )


@check
def check_route(cluster: Cluster) -> Iterator[Problem]:
    cidr = cluster.settings["control_plane_service_cidr"]
    for host in cluster.nodes:
        node, device = host["node"], host["service_route_device"]
        if device:
            if device not in node["interfaces"]:
                yield Problem(
                    host["host"],
                    f"node_service_route_device={device}: no such interface; expected one of {', '.join(node['interfaces'])}",
                )
        elif not node["default_route"] and not node["routes_to"].get(cidr):
            yield Problem(
                host["host"],
                f"has neither a default route nor one for services (control_plane_service_cidr={cidr}), so no process there could reach a "
                "service: name the interface of its network in node_service_route_device",
            )


@check
def check_cidr(cluster: Cluster) -> Iterator[Problem]:
    networks = {}
    for name in ("control_plane_pod_cidr", "control_plane_service_cidr"):
        try:
            networks[name] = ipaddress.IPv4Network(str(cluster.settings[name]))
        except ValueError as error:
            yield Problem("", f"{cluster.setting(name)}: {error}; expected an IPv4 network such as 10.244.0.0/16")
    pods, services = networks.get("control_plane_pod_cidr"), networks.get("control_plane_service_cidr")
    if pods:
        count = len([host for host in cluster.hosts if host["control_plane"] or host["worker"]])
        if not LARGEST_POD_PREFIX <= pods.prefixlen <= NODE_PREFIX:
            yield Problem(
                "",
                f"{cluster.setting('control_plane_pod_cidr')}: expected a prefix from /{LARGEST_POD_PREFIX} to /{NODE_PREFIX}",
            )
        elif count > 2 ** (NODE_PREFIX - pods.prefixlen):
            yield Problem(
                "",
                f"{cluster.setting('control_plane_pod_cidr')}: has room for {2 ** (NODE_PREFIX - pods.prefixlen)} nodes with a "
                f"/{NODE_PREFIX} each; expected one for {count}",
            )
    if services and not LARGEST_SERVICE_PREFIX <= services.prefixlen <= 28:
        yield Problem(
            "",
            f"{cluster.setting('control_plane_service_cidr')}: expected a prefix from /{LARGEST_SERVICE_PREFIX} to /28",
        )
    if pods and services and pods.overlaps(services):
        yield Problem(
            "",
            f"{cluster.setting('control_plane_pod_cidr')}: overlaps {cluster.setting('control_plane_service_cidr')}; "
            "expected networks apart from each other",
        )
    for name, network in networks.items():
        inside = [
            f"{host['host']} ({own})"
            for host in cluster.seen
            for own in host["node"]["networks"]
            if network.overlaps(ipaddress.IPv4Interface(own).network)
        ]
        if inside:
            yield Problem(
                "",
                f"{cluster.setting(name)}: overlaps the networks of {', '.join(inside)}; expected one that no host is in",
            )


@check
def check_network(cluster: Cluster) -> Iterator[Problem]:
    # Of those that Ansible itself cannot reach, nobody's neighbour need tell.
    away = {host["host"] for host in cluster.hosts if (host.get("error") or {}).get("check") == "connection"}
    owners = {host["peer"]: host["host"] for host in cluster.hosts}
    for host in cluster.seen:
        for peer, why in host["node"]["unreachable"].items():
            owner = owners.get(peer, "another host")
            if owner not in away:
                yield Problem(
                    host["host"],
                    f"cannot reach {owner} at {peer} ({why}): let all hosts reach each other, or set {owner}'s node_address to where they do",
                )


@check
def check_bundle(cluster: Cluster) -> Iterator[Problem]:
    where = cluster.setting("bundle_dir")
    found = cluster.settings["bundle_problems"]
    for line in found[:SHOWN]:
        yield Problem("", f"{where}: {line}: build it with playbooks/bundle.yml, or copy it again")
    if len(found) > SHOWN:
        yield Problem("", f"{where}: {len(found) - SHOWN} more files are missing or damaged")
    if not cluster.bundle:
        return
    missing = [name for name in cluster.settings["binaries"] if name not in cluster.bundle["versions"]]
    missing += [f"{name}/" for name in ("deb", "images") if name not in cluster.bundle["folders"]]
    if missing:
        yield Problem("", f"{where}: has no {', '.join(missing)}: build it anew with playbooks/bundle.yml")
    kubernetes = cluster.bundle["kubernetes_version"]
    for name in ("kubeadm", "kubelet", "kubectl"):
        told = cluster.bundle["versions"].get(name, kubernetes)
        if told != kubernetes:
            yield Problem(
                "",
                f"{where}: its {name} is {told}; expected {kubernetes}, as the bundle says: build it anew with playbooks/bundle.yml",
            )


@check
def check_images(cluster: Cluster) -> Iterator[Problem]:
    if not cluster.bundle:
        return
    where, kubernetes = cluster.setting("bundle_dir"), cluster.bundle["kubernetes_version"]
    services = dict(image.rsplit(":", 1) for image in cluster.settings["service_images"])
    tags = {name: cluster.bundle["images"].get(name) for name in cluster.settings["images"] + sorted(services)}
    missing = [name for name, tag in tags.items() if tag is None]
    if missing:
        image = "images" if len(missing) > 1 else "image"
        yield Problem(
            "",
            f"{where}: has no {image} {', '.join(missing)}, which the cluster needs: build it anew with playbooks/bundle.yml",
        )
    for name, tag in tags.items():
        if tag is not None and "/kube-" in name and tag != kubernetes:
            yield Problem(
                "",
                f"{where}: its image {name} is {tag}; expected {kubernetes}: build it anew with playbooks/bundle.yml",
            )
        if tag is not None and tag != services.get(name, tag):
            yield Problem(
                "",
                f"{where}: its image {name} is {tag}; expected {services[name]}, of the sources that this collection has: "
                "build it anew with playbooks/bundle.yml",
            )


@check
def check_version(cluster: Cluster) -> Iterator[Problem]:
    target = cluster.bundle.get("kubernetes_version") or ""
    if not version(target):
        return
    for host in cluster.nodes:
        kubernetes = host["node"]["kubernetes"]
        if not (kubernetes["member"] or kubernetes["apiserver_version"]):
            continue
        running = kubernetes["apiserver_version"] or kubernetes["kubelet_version"]
        if not version(running) or version(running) == version(target):
            continue
        use = f"use a bundle of {running}"
        if version(running) > version(target):
            why = f"Kubernetes cannot be downgraded: {use} or later"
        elif version(running)[0] != version(target)[0] or version(target)[1] - version(running)[1] > 1:
            why = f"kubeadm upgrades by one minor version at a time: {use}"
        else:
            why = f"upgrades are not done by site.yml: {use}"
        yield Problem(host["host"], f"runs Kubernetes {running}, while the bundle has {target}; {why}")


@check
def check_membership(cluster: Cluster) -> Iterator[Problem]:
    control_planes = [host for host in cluster.seen if host["control_plane"]]
    complete = {host["host"] for host in control_planes} >= set(cluster.settings["kube_control_plane"])
    founders = [
        host
        for host in control_planes
        if host["node"]["kubernetes"]["control_plane"] and not host["node"]["kubernetes"]["interrupted"]
    ]
    authority = next((host["node"]["kubernetes"]["ca"] for host in founders), "")
    begun = any(host["node"]["kubernetes"]["interrupted"] == "init" for host in control_planes)
    for host in cluster.nodes:
        found = host["node"]["kubernetes"]
        give_back = f"give it back with `playbooks/reset.yml --limit {host['host']}`"
        if not found["member"] or found["interrupted"]:
            continue
        if not founders and not begun and complete:
            yield Problem(
                host["host"], f"belongs to a cluster that no host of kube_control_plane belongs to: {give_back}"
            )
        elif authority and found["ca"] and found["ca"] != authority:
            yield Problem(
                host["host"],
                f"belongs to another cluster than {founders[0]['host']} (their CA certificates differ): {give_back}",
            )
        elif found["control_plane"] and not host["control_plane"]:
            yield Problem(
                host["host"], f"is part of a control plane, but not in kube_control_plane: put it there, or {give_back}"
            )
        elif host["control_plane"] and not found["control_plane"]:
            yield Problem(
                host["host"],
                f"is a worker of the cluster, but in kube_control_plane: put it in kube_workers, or {give_back}",
            )
