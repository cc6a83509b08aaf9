# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looks at the host that this runs on: whether it can be, or already is, a node of a cluster. Changes nothing."""

from __future__ import annotations

import errno
import gzip
import hashlib
import ipaddress
import os
import platform
import re
import select
import shutil
import socket
import struct
import subprocess
import time

from ansible_collections.cctv.pipeline.plugins.module_utils.files import text

MARKER = "/var/lib/cctv-pipeline/kubeadm-in-progress"
REGISTRY = "/usr/local/bin/cctv-registry"

# What a node runs itself; the ports that these hold are no stranger's.
OWN_PROCESSES = (
    "kubelet",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "etcd",
    "containerd",
)
# Interfaces that a cluster makes, and loopback: their addresses are not the host's.
OWN_INTERFACES = re.compile(r"lo$|flannel|cni|veth|kube-|cali|docker|podman|br-")
VXLAN_INTERFACE = "flannel.1"

# A feature of the kernel: its option, and a symbol that it has when it is there.
FEATURES = {
    "overlay": ("OVERLAY_FS", "ovl_fill_super"),
    "bridge": ("BRIDGE", "br_handle_frame"),
    "br_netfilter": ("BRIDGE_NETFILTER", "br_nf_pre_routing"),
    "veth": ("VETH", "veth_xmit"),
    "vxlan": ("VXLAN", "vxlan_init_net"),
    "nf_conntrack": ("NF_CONNTRACK", "nf_conntrack_in"),
    "nf_tables": ("NF_TABLES", "nft_do_chain"),
    "ip_tables": ("IP_NF_IPTABLES", "ipt_do_table"),
    "nfsv4": ("NFS_V4", "nfs4_init_client"),
}

LISTENING = "0A"
UNCONNECTED = "07"
PEER_TIMEOUT_S = 2.0


def readable(path):
    """Return what a file holds, "" when there is none, None when it is not for us to read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except PermissionError:
        return None
    except OSError:
        return ""


def os_release(content):
    """Return ID, VERSION_ID and VERSION_CODENAME of an os-release file."""
    found = dict(re.findall(r"^(\w+)=[\"']?(.*?)[\"']?$", content, re.MULTILINE))
    return {
        "id": found.get("ID", ""),
        "version_id": found.get("VERSION_ID", ""),
        "codename": found.get("VERSION_CODENAME", ""),
    }


def swaps(content):
    """Return the devices and files in /proc/swaps."""
    return [line.split()[0] for line in content.splitlines()[1:] if line.strip()]


def name_servers(content):
    """Return the name servers of a resolv.conf."""
    return re.findall(r"^nameserver\s+(\S+)", content, re.MULTILINE)


def memory_mebibytes(content):
    """Return MemTotal of /proc/meminfo."""
    found = re.search(r"^MemTotal:\s+(\d+) kB", content, re.MULTILINE)
    return int(found.group(1)) // 1024 if found else 0


def has_default_route(content):
    """Return whether /proc/net/route has a default route that is up and leads somewhere."""
    for line in content.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and int(fields[3], 16) & 0x201 == 1:
            return True
    return False


def sockets(content, state):
    """Yield port and inode of each socket in that state in /proc/net/{tcp,tcp6,udp,udp6}."""
    for line in content.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == state:
            yield int(fields[1].rsplit(":", 1)[1], 16), fields[9]


def cgroup_mode(unified, hybrid):
    """Name the mode by what is at /sys/fs/cgroup."""
    if unified:
        return "v2"
    return "hybrid" if hybrid else "v1"


def installed(status, wanted):
    """Tell for each wanted package whether dpkg's status file says that it is installed."""
    found = set()
    for paragraph in status.split("\n\n"):
        name = re.match(r"Package: (\S+)", paragraph)
        if name and name.group(1) in wanted and "\nStatus: install ok installed" in paragraph:
            found.add(name.group(1))
    return {name: name in found for name in wanted}


def image_tag(manifest, name):
    """Return the tag of the image ``name`` in a static pod's manifest, "" when there is none."""
    found = re.search(r"^\s*(?:- )?image:\s*[\"']?\S*/%s:([\w.-]+)" % re.escape(name), manifest, re.MULTILINE)
    return found.group(1) if found else ""


def parse_addresses(data):
    """Yield interface index and "address/prefix" of each IPv4 address in answers to RTM_GETADDR."""
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if length < 16 or kind == 3:  # NLMSG_DONE
            return
        if kind == 20 and length >= 24:  # RTM_NEWADDR
            family, prefix = struct.unpack_from("=BB", data, 16)
            index = struct.unpack_from("=I", data, 20)[0]
            found = {}
            place = 24
            while place + 4 <= length:
                size, attribute = struct.unpack_from("=HH", data, place)
                if size < 4:
                    break
                found[attribute] = data[place + 4 : place + size]
                place += (size + 3) & ~3
            raw = found.get(2) or found.get(1)  # IFA_LOCAL, IFA_ADDRESS
            if family == socket.AF_INET and raw and len(raw) == 4:
                yield index, "%s/%d" % (socket.inet_ntoa(raw), prefix)
        data = data[(length + 3) & ~3 :]


def all_addresses():
    """Return (name of the interface, "address/prefix") of every IPv4 address, as the kernel tells them."""
    data = b""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.settimeout(2)
        # RTM_GETADDR with NLM_F_REQUEST and NLM_F_DUMP.
        netlink.send(struct.pack("=IHHIIBBBBI", 24, 22, 0x301, 1, 0, socket.AF_INET, 0, 0, 0, 0))
        while True:
            block = netlink.recv(1 << 16)
            data += block
            kinds = set()
            place = 0
            while place + 16 <= len(block):
                length, kind = struct.unpack_from("=IH", block, place)
                kinds.add(kind)
                place += max(16, (length + 3) & ~3)
            if kinds & {2, 3}:  # NLMSG_ERROR, NLMSG_DONE
                break
    names = dict(socket.if_nameindex())
    return [(names.get(index, ""), network) for index, network in parse_addresses(data)]


def source_address(target):
    """Return the address from which the host would send to ``target``, "" where no route leads there. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((target, 9))
            return probe.getsockname()[0]
        except OSError:
            return ""


def route_to(cidr):
    """Return whether a route leads to the network; to what is no network, none does."""
    try:
        return bool(source_address(str(ipaddress.IPv4Network(cidr, strict=False).network_address + 1)))
    except ValueError:
        return False


def holders(inodes):
    """Return {inode: (name, path of the program)} of the processes that hold sockets; needs root."""
    wanted = {"socket:[%s]" % inode: inode for inode in inodes if inode != "0"}
    found = {}
    for pid in os.listdir("/proc") if wanted else ():
        if not pid.isdigit():
            continue
        try:
            for descriptor in os.listdir("/proc/%s/fd" % pid):
                inode = wanted.get(os.readlink("/proc/%s/fd/%s" % (pid, descriptor)))
                if inode and inode not in found:
                    program = os.readlink("/proc/%s/exe" % pid)
                    found[inode] = (text("/proc/%s/comm" % pid).strip(), program)
        except OSError:
            continue  # it has ended, or is not for us to look at
    return found


def is_own(name, program, member):
    """Return whether a process is one of those that a node runs itself; one that cannot be seen may be."""
    if program.replace(" (deleted)", "") == REGISTRY:
        return True
    return member and (not name or os.path.basename(program) in OWN_PROCESSES or name in OWN_PROCESSES)


def ports_in_use(ports, udp_ports, member, interfaces):
    """Return {port: name of the process, or ""} for what strangers hold, of TCP and of UDP."""
    held = []
    for kind, state, wanted in (("tcp", LISTENING, ports), ("udp", UNCONNECTED, udp_ports)):
        for version in ("", "6"):
            for port, inode in sockets(text("/proc/net/%s%s" % (kind, version)), state):
                if port in wanted:
                    held.append((kind, port, inode))
    processes = holders({inode for dummy, dummy, inode in held})
    found = {"tcp": {}, "udp": {}}
    for kind, port, inode in held:
        name, program = processes.get(inode, ("", ""))
        if kind == "udp" and inode == "0":
            # The kernel's own, which is how it receives VXLAN.
            own, name = VXLAN_INTERFACE in interfaces, "the kernel"
        else:
            own = is_own(name, program, member)
        if not own:
            found[kind][str(port)] = name
    return found["tcp"], found["udp"]


def unreachable(peers, timeout=PEER_TIMEOUT_S):
    """Try to open a TCP connection to each "address:port" at once; return {peer: why not}. Being refused means reached."""
    poll = select.poll()
    waiting, failed = {}, {}
    for peer in peers:
        address, dummy, port = peer.rpartition(":")
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        probe.setblocking(False)
        try:
            code = probe.connect_ex((address, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            probe.close()
            failed[peer] = str(error)
            continue
        if code == errno.EINPROGRESS:
            waiting[probe.fileno()] = (peer, probe)
            poll.register(probe, select.POLLOUT)
            continue
        probe.close()
        if code not in (0, errno.ECONNREFUSED):
            failed[peer] = os.strerror(code).lower()
    deadline = time.monotonic() + timeout
    while waiting and time.monotonic() < deadline:
        for number, dummy in poll.poll(max(1, int((deadline - time.monotonic()) * 1000))):
            peer, probe = waiting.pop(number)
            poll.unregister(number)
            code = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            probe.close()
            if code not in (0, errno.ECONNREFUSED):
                failed[peer] = os.strerror(code).lower()
    for peer, probe in waiting.values():
        probe.close()
        failed[peer] = "no answer in %g s" % timeout
    return failed


def existing(path):
    """Return the path, or the nearest folder above it that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def kernel_configuration(release):
    """Return the kernel's build configuration, "" when it tells none."""
    try:
        with gzip.open("/proc/config.gz", "rt", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return text("/boot/config-%s" % release)


def kernel_features(release):
    """Tell for each feature whether it is loaded, built in or can be loaded."""
    loaded = {line.split(" ", 1)[0] for line in text("/proc/modules").splitlines()}
    loaded |= {line.split()[-1] for line in text("/proc/filesystems").splitlines() if line.strip()}
    folder = "/lib/modules/%s" % release
    known = set()
    for index in ("modules.builtin", "modules.dep"):
        for line in text("%s/%s" % (folder, index)).splitlines():
            known.add(os.path.basename(line.split(":", 1)[0]).split(".ko", 1)[0].replace("-", "_"))
    found = {name: name in loaded or name in known for name in FEATURES}
    missing = [name for name in FEATURES if not found[name]]
    if missing:
        # A kernel without modules, or a container that does not see them.
        configuration = kernel_configuration(release)
        for name in missing:
            found[name] = "\nCONFIG_%s=y\n" % FEATURES[name][0] in configuration
        missing = [name for name in missing if not found[name]]
    if missing:
        symbols = set(re.findall(r" (\w+)(?:\t\[\w+\])?$", text("/proc/kallsyms"), re.MULTILINE))
        for name in missing:
            found[name] = FEATURES[name][1] in symbols
    return found


def cpus():
    """Return how many processors this may use."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 1


def program_version(name):
    """Return the version that a Kubernetes program tells, "" when there is none."""
    path = shutil.which(name, path="/usr/local/bin:/usr/bin:/usr/local/sbin:/usr/sbin")
    if not path:
        return ""
    try:
        told = subprocess.run(
            [path, "--version"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=10, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    found = re.search(r"v\d+\.\d+\.\d+\S*", told.stdout.decode("utf-8", "replace"))
    return found.group(0) if found else ""


def kubernetes():
    """Tell what of a cluster there is on this host."""
    manifest = readable("/etc/kubernetes/manifests/kube-apiserver.yaml")
    authority = readable("/etc/kubernetes/pki/ca.crt")
    interrupted = text(MARKER).strip()
    return {
        "member": os.path.exists("/etc/kubernetes/kubelet.conf"),
        "control_plane": os.path.exists("/etc/kubernetes/admin.conf"),
        "interrupted": interrupted if interrupted in ("init", "join") else "",
        "kubelet_version": program_version("kubelet"),
        "apiserver_version": None if manifest is None else image_tag(manifest, "kube-apiserver"),
        # Certificates are public; this tells one cluster from another.
        "ca": hashlib.sha256(authority.encode()).hexdigest() if authority else "",
    }


def look(ports=(), udp_ports=(), paths=(), packages=(), routes_to=(), peers=()):
    """Return what the module node_info returns."""
    interfaces = [name for dummy, name in socket.if_nameindex()]
    networks = [network for name, network in all_addresses() if name and not OWN_INTERFACES.match(name)]
    addresses = [network.split("/")[0] for network in networks]
    # The one by which the host leaves its network comes first; the documentation's address is nobody's.
    first = source_address("192.0.2.1")
    addresses.sort(key=lambda address: address != first)
    release = platform.release()
    cluster = kubernetes()
    tcp, udp = ports_in_use(
        frozenset(ports), frozenset(udp_ports), cluster["member"] or bool(cluster["interrupted"]), interfaces
    )
    places = {path: existing(path) for path in paths}
    found = {
        "hostname": socket.gethostname(),
        "machine_id": text("/etc/machine-id").strip(),
        "root": os.geteuid() == 0,
        "addresses": addresses,
        "networks": networks,
        "interfaces": interfaces,
        "default_route": has_default_route(text("/proc/net/route")),
        "routes_to": {cidr: route_to(cidr) for cidr in routes_to},
        "unreachable": unreachable(peers),
        "os": os_release(text("/etc/os-release") or text("/usr/lib/os-release")),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "systemd": os.path.isdir("/run/systemd/system"),
        "init": text("/proc/1/comm").strip(),
        "name_servers": name_servers(text("/etc/resolv.conf")),
        "swap": swaps(text("/proc/swaps")),
        "memory_mebibytes": memory_mebibytes(text("/proc/meminfo")),
        "free_mebibytes": {path: shutil.disk_usage(place).free // 2**20 for path, place in places.items()},
        "devices": {path: os.stat(place).st_dev for path, place in places.items()},
        "cpus": cpus(),
        "ports_in_use": tcp,
        "udp_ports_in_use": udp,
        "cgroup": cgroup_mode(
            os.path.exists("/sys/fs/cgroup/cgroup.controllers"), os.path.isdir("/sys/fs/cgroup/unified")
        ),
        "kernel": {"release": release, "features": kernel_features(release)},
        "packages": installed(text("/var/lib/dpkg/status"), packages),
        "kubernetes": cluster,
    }
    # Last, right before the answer is sent.
    found["clock"] = time.time()
    return found
