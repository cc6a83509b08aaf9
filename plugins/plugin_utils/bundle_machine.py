# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a machine needs in order to build a bundle."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys

from ansible_collections.cctv.pipeline.plugins.plugin_utils import build_graph, bundle_apt, bundle_go

# What steps need: (the beginning of their names, program, the package of Debian's and Ubuntu's that has it)
PROGRAMS = (
    ("", "setpriv", "util-linux"),
    ("apt", "apt-get", "apt"),
    ("debian", "mmdebstrap", "mmdebstrap"),
    ("debian", "unshare", "util-linux"),
    ("image-", "buildah", "buildah"),
    ("packages", "dpkg-deb", "dpkg"),
    ("push-", "skopeo", "skopeo"),
    ("wheels-", "strip", "binutils"),
)
# Mebibytes that steps leave in the cache, that building images takes meanwhile, and that Go takes in its own two.
CACHE = {
    "go-kubernetes": 600,
    "go-": 80,
    "image-tensorflow": 300,
    "image-": 60,
    "images": 800,
    "debian": 300,
    "apt": 50,
    "packages": 20,
    "wheels-tensorflow": 800,
    "wheels-common": 300,
    "wheels-cameras": 100,
    "wheels-": 20,
    "jars-": 50,
}
WORK = 3000
GO = {"go-kubernetes": 4000, "go-": 500}
BUNDLE = 1200
ARCHIVE = 600


def machine_go(files):
    """Return the machine's Go if it is new enough, else None."""
    program = shutil.which("go")
    # Without a place for its settings it makes no folder for them.
    environment = dict(os.environ, GOTOOLCHAIN="local", XDG_CONFIG_HOME=os.devnull)
    said = program and build_graph.run(program, "env", "GOVERSION", env=environment)
    wanted = bundle_go.wanted_go(os.path.join(files, "go"))
    if not said or bundle_go.numbers(said) < bundle_go.numbers(wanted):
        return None
    return bundle_go.Go(program, said)


def problems(options, parts, would):
    """Return what keeps this machine from doing the steps that are to be done, each with what to do."""
    found = []
    if options["jobs"] < 1:
        found.append("bundle_jobs is %d: expected 1 or more" % options["jobs"])
    dest = options["dest"]
    if dest and os.path.lexists(dest) and not _replaceable(dest):
        found.append(
            "bundle_dir is %s, which is there and is not a bundle: expected a bundle, or a folder that is empty or not there"
            % dest
        )
    machine = platform.machine()
    if machine != "x86_64":
        found.append(
            "this machine is %s, and a bundle is for %s: build it on such a machine"
            % (machine, bundle_apt.ARCHITECTURE)
        )
    missing = {
        program: package
        for begin, program, package in PROGRAMS
        if any(step.startswith(begin) for step in would) and not shutil.which(program)
    }
    compiles = any(step.startswith("c-") or step in parts.static for step in would)
    if compiles and not shutil.which("cc"):
        missing["cc"] = "gcc"
    if compiles and not os.path.isabs(build_graph.run("cc", "-print-file-name=libc.a") or ""):
        missing["a static C library"] = "libc6-dev"
    systems = any(step == "debian" or step.startswith("image-") for step in would)
    if systems and os.geteuid() != 0 and not shutil.which("newuidmap"):
        missing["newuidmap"] = "uidmap"
    if "pip" in would and not _venv():
        missing["Python's venv module"] = "python3-venv"
    if missing:
        found.append(
            "it lacks %s: %sapt-get install --no-install-recommends %s"
            % (
                ", ".join(sorted(missing)),
                "" if os.geteuid() == 0 else "sudo ",
                " ".join(sorted(set(missing.values()))),
            )
        )
    if "apt" in would and "apt-get" not in missing and not parts.sources:
        found.append(
            "apt has no source of Debian %s here: set bundle_apt_sources to lines of a sources.list for it"
            % options["suite"]
        )
    if systems and shutil.which("unshare") and "newuidmap" not in missing:
        found += _namespaces()
    found += _disk(options, would)
    return found


def _replaceable(dest):
    """Return whether what is there may go: it is a bundle, or empty."""
    return os.path.isdir(dest) and (os.path.isfile(os.path.join(dest, "bundle.json")) or not os.listdir(dest))


def _venv():
    return build_graph.run(sys.executable, "-c", "import venv, ensurepip") is not None


def _namespaces():
    """Return what keeps buildah and mmdebstrap from making file systems here."""
    if os.geteuid() == 0:
        command, who = ["unshare", "--mount", "--", "mount", "-t", "tmpfs", "none", "/tmp"], "root may not mount here"
        advice = "run in a container with the capability SYS_ADMIN, or on a machine"
    else:
        command, who = ["unshare", "--map-auto", "--map-root-user", "--mount", "--", "true"], "no user namespace"
        advice = (
            "this user wants ranges in /etc/subuid and /etc/subgid (sudo usermod --add-subuids 100000-165535 "
            "--add-subgids 100000-165535 USER), and the kernel user.max_user_namespaces above 0 and no "
            "kernel.apparmor_restrict_unprivileged_userns"
        )
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return []
    return ["%s (%s): %s" % (who, " ".join((done.stderr or done.stdout).split()), advice)]


def _disk(options, would):
    """Return the file systems that are too full."""

    def take(table):
        return sum(
            next(
                (size for name, size in table.items() if step == name or (name[-1] == "-" and step.startswith(name))), 0
            )
            for step in would
        )

    images = any(step.startswith("image-") for step in would)
    wanted = [(options["cache"], take(CACHE) + (WORK if images else 0))]
    # What go has in its caches already does not come again, and nothing tells how much that is.
    for variable in ("GOMODCACHE", "GOCACHE"):
        folder = _go_folder(variable)
        if not os.path.isdir(folder):
            wanted.append((folder, take(GO) // 2))
    if "archive" in would:
        wanted.append((os.path.dirname(options["archive"]), ARCHIVE))
    if "bundle" in would:
        wanted.append((options["dest"], BUNDLE * (2 if options["tar"] else 1)))
    systems = {}
    for folder, size in wanted:
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        system = systems.setdefault(os.stat(folder).st_dev, [folder, 0])
        system[1] += size
    return [
        "%s has %d MiB left, and the build takes about %d: free some, or name other folders" % (folder, free, size)
        for folder, size in systems.values()
        for free in [shutil.disk_usage(folder).free >> 20]
        if size > free
    ]


def _go_folder(variable):
    if os.environ.get(variable):
        return os.environ[variable]
    home = os.path.expanduser("~")
    if variable == "GOCACHE":
        return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "go-build")
    return os.path.join(os.environ.get("GOPATH") or os.path.join(home, "go"), "pkg", "mod")
