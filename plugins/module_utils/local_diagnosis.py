# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tells how the local runtime and its machine are."""

from __future__ import annotations

import glob
import os
import platform
import shutil

from ansible_collections.cctv.pipeline.plugins.module_utils.redaction import hidden, secrets
from ansible_collections.cctv.pipeline.plugins.module_utils.support_archive import LARGEST, last_lines

READ = 4 * LARGEST


def gather(archive, runtime, pods, log_lines):
    """Add all that there is to an archive; return what is secret in it."""
    kept = []
    for component, applied in sorted(runtime.components.items()):
        archive.add("manifests/%s.json" % component, [hidden(manifest) for manifest in applied["manifests"]])
        kept += secrets(manifest for manifest in applied["manifests"] if manifest.get("kind") == "Secret")
    supervisor = runtime.supervisor
    archive.attempt("supervisor.json", supervisor.processes, (OSError,))
    archive.add("probes.json", supervisor.status())
    archive.add("processes.json", {pod["name"]: _process(pod["pid"]) for pod in pods if pod.get("pid")})
    for path in sorted(glob.glob(os.path.join(runtime.state, "logs", "*.log"))):
        name = "logs/" + os.path.basename(path)
        archive.attempt(name, lambda path=path: last_lines(_end(path), log_lines), (OSError,))
    archive.add("machine.json", _machine([runtime.state, runtime.data]))
    packages = glob.glob(os.path.join(runtime.data, "venv-*", "lib", "python*", "site-packages", "*.dist-info"))
    archive.add(
        "packages.txt", "".join("%s\n" % os.path.basename(path)[: -len(".dist-info")] for path in sorted(packages))
    )
    return kept


def _end(path):
    with open(path, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - READ))
        return file.read().decode("utf-8", "replace")


def _process(pid):
    """Return what a process uses; nothing when it is gone."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        return {
            "state": fields[0],
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / tick,
            "threads": int(fields[17]),
            "resident_bytes": int(fields[21]) * page,
            "open_files": len(os.listdir("/proc/%d/fd" % pid)),
        }
    except OSError as error:
        return {"problem": str(error)}


def _machine(folders):
    said = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
    }
    for name in (
        "/etc/os-release",
        "/proc/meminfo",
        "/proc/uptime",
        "/proc/pressure/cpu",
        "/proc/pressure/io",
        "/proc/pressure/memory",
    ):
        try:
            with open(name, encoding="utf-8") as file:
                said[name] = file.read().splitlines()
        except OSError:
            continue
    said["disks"] = {folder: shutil.disk_usage(folder)._asdict() for folder in folders if os.path.isdir(folder)}
    return said
