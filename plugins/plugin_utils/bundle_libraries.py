# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Steps that make what images hold besides programs and Debian packages: wheels, jars and models, each pinned by its hash."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import sys
from urllib.parse import quote

import yaml
from ansible_collections.cctv.pipeline.plugins.module_utils import maven
from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Failed, remove, tree, walk

try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ImportError:  # ansible-core brings it; only its own checks look without
    Requirement = canonicalize_name = None

REVISION = {"wheels": 1, "jars": 1, "models": 1}
# Of each Debian: its Python, and the minor version of its C library 2.
PYTHONS = {"bookworm": ("3.11", 36), "trixie": ("3.13", 41)}
CONNECTIONS, TIMEOUT = 8, 30


def platforms(glibc):
    """Return pip's options for the wheels that a C library 2 of this minor version runs."""
    names = ["manylinux_2_%d" % minor for minor in range(glibc, 4, -1)] + [
        "manylinux2014",
        "manylinux2010",
        "manylinux1",
    ]
    return ["--platform=%s_x86_64" % name for name in names] + ["--platform=linux_x86_64"]


def locked(path, python):
    """Return ``{name: (version, line for pip)}`` of a locked requirements file, for a Linux with that Python."""
    environment = {
        "python_version": python,
        "python_full_version": python + ".0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    found = {}
    with open(path, encoding="utf-8") as source:
        lines = source.read().replace("\\\n", " ").splitlines()
    for line in lines:
        if not line.strip() or line.lstrip().startswith(("#", "-")):
            continue
        text, *hashes = re.split(r"\s+--hash=", line.strip())
        requirement = Requirement(text)
        # pip would ask for the Python that it runs with.
        if requirement.marker and not requirement.marker.evaluate(environment):
            continue
        version = str(requirement.specifier)[2:]
        pinned = " ".join(["%s==%s" % (requirement.name, version)] + ["--hash=" + value.strip() for value in hashes])
        found[canonicalize_name(requirement.name)] = (version, pinned)
    return found


def pip(parts):
    """Add, once, the step that makes the pip of this machine's Python; return its name."""
    name = "pip"
    if any(step.name == name for step in parts.steps):
        return name

    def make(task):
        venv = os.path.join(task.work, "venv")
        task.run([sys.executable, "-m", "venv", venv])
        said = task.run(
            [os.path.join(venv, "bin", "python"), "-c", "import pip; print(pip.__path__[0])"], read="output"
        )
        shutil.copytree(
            said.splitlines()[-1], os.path.join(task.folder, "pip"), ignore=shutil.ignore_patterns("__pycache__")
        )

    return parts.step(name, make, inputs={"python": sys.version}, weight=5)


def run_pip(task, *arguments, target=None, path=()):
    """Run pip's install into ``target`` with the user's own settings of indexes, proxies and caches.

    ``path``: folders that it imports from, too.
    """
    task.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile"]
        + ["--require-hashes", "--no-deps", "--only-binary=:all:", "--target", target or task.folder]
        + list(arguments),
        change={"PYTHONPATH": os.pathsep.join([task.path("pip"), *path]), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _requirements(task, name, lines):
    path = os.path.join(task.work, name + ".txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write("".join(line + "\n" for line in lines))
    return ["--requirement", path]


def _chosen(entry, python):
    """Return the wheels of a set, as ``locked`` does."""
    found = locked(entry["requirements"], python)
    names = [canonicalize_name(name) for name in entry["only"] or found]
    without = {canonicalize_name(name) for name in entry["omit"]}
    if entry["base"]:
        without |= set(locked(entry["base"], python))
    unknown = [name for name in names if name not in found]
    if unknown:
        raise Failed(
            "%s has no %s, which the wheels %s want" % (entry["requirements"], ", ".join(unknown), entry["name"])
        )
    return {name: found[name] for name in sorted(names) if name not in without}


def wheels(parts, entry):
    """Add the step that unpacks a set of wheels into one folder, as the Python of Debian's images imports them."""
    suite = parts.options["suite"]
    if suite not in PYTHONS:
        raise Failed(
            "bundle_debian_suite is %s: expected %s, as wheels are chosen for its Python" % (suite, ", ".join(PYTHONS))
        )
    python, glibc = PYTHONS[suite]
    chosen = _chosen(entry, python)
    builder = locked(entry["built_with"], python)["setuptools"][1] if entry["built_with"] else None

    def make(task):
        requirements = _requirements(task, "requirements", [line for __, line in chosen.values()])
        if builder:
            tools = os.path.join(task.work, "tools")
            run_pip(task, *_requirements(task, "tools", [builder]), target=tools)
            run_pip(task, "--no-binary=:all:", "--no-build-isolation", *requirements, path=[tools])
        else:
            run_pip(task, "--implementation=cp", "--python-version", python, *platforms(glibc), *requirements)
        # Scripts of the machine's Python.
        remove(os.path.join(task.folder, "bin"))
        for name in list(walk(task.folder)):
            path = os.path.join(task.folder, name)
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in entry["exclude"]):
                os.unlink(path)
                continue
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in entry["strip"]):
                task.run(["strip", "--strip-unneeded", path])
            os.chmod(path, 0o755 if os.stat(path).st_mode & 0o100 else 0o644)
        for folder, __, __ in os.walk(task.folder, topdown=False):
            os.chmod(folder, 0o755)
            if not os.listdir(folder):
                os.rmdir(folder)

    step = parts.step(
        "wheels-" + entry["name"],
        make,
        inputs={
            "revision": REVISION["wheels"],
            "wheels": chosen,
            "python": [python, glibc],
            "exclude": entry["exclude"],
            "strip": entry["strip"],
            **({"builder": builder} if builder else {}),
        },
        needs=[pip(parts)],
        weight=30,
    )
    parts.programs["wheels-" + entry["name"]] = (step, "", python, None)
    parts.libraries["wheels-" + entry["name"]] = [
        (name, version, "pkg:pypi/%s@%s" % (name, quote(version, safe=".-"))) for name, (version, __) in chosen.items()
    ]


def jars(parts, entry):
    """Add the step that makes a folder of the jars of a lock file."""
    with open(entry["lock"], encoding="utf-8") as source:
        artifacts = [dict({"classifier": ""}, **artifact) for artifact in yaml.safe_load(source)["maven_artifacts"]]

    def make(task):
        if not parts.options["maven_repository"]:
            raise Failed(
                "bundle_maven_repository is not set, and community.general, whose default it has, is not installed"
            )
        try:
            maven.fetch_all(artifacts, parts.options["maven_repository"], task.folder, CONNECTIONS, TIMEOUT)
        except maven.Failed as failed:
            raise Failed(str(failed)) from failed

    step = parts.step(
        "jars-" + entry["name"],
        make,
        inputs={"revision": REVISION["jars"], "lock": sha256(entry["lock"])},
        weight=10,
    )
    parts.programs["jars-" + entry["name"]] = (step, "", "", None)
    parts.libraries["jars-" + entry["name"]] = [
        (
            artifact["artifact"],
            artifact["version"],
            "pkg:maven/%s/%s@%s%s"
            % (
                quote(artifact["group"], safe=".-"),
                quote(artifact["artifact"], safe=".-"),
                quote(artifact["version"], safe=".-"),
                "?classifier=" + quote(artifact["classifier"]) if artifact["classifier"] else "",
            ),
        )
        for artifact in artifacts
    ]


def models(parts, entry):
    """Add the step that has a service's own program, run on this machine, fetch and convert what the service asks of models."""

    def make(task):
        libraries = os.path.join(task.work, "libraries")
        for number, path in enumerate(entry["requirements"]):
            # One has what another depends on, and pip would replace it.
            target = "%s-%d" % (libraries, number)
            run_pip(task, "--requirement", path, target=target)
        paths = ["%s-%d" % (libraries, number) for number in range(len(entry["requirements"]))] + entry["sources"]
        task.run(
            [sys.executable, "-m", entry["module"], task.folder],
            change={"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        os.unlink(os.path.join(task.folder, ".lock"))

    step = parts.step(
        "models-" + entry["name"],
        make,
        inputs={
            "revision": REVISION["models"],
            "requirements": [sha256(path) for path in entry["requirements"]],
            "sources": [tree(path, ("__pycache__",)) for path in entry["sources"]],
            "module": entry["module"],
        },
        needs=[pip(parts)],
        weight=60,
    )
    parts.programs["models-" + entry["name"]] = (step, "", "", None)
