# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that make a bundle out of Go modules, Debian packages and Dockerfiles."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import tarfile
import tempfile
import time

from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256 as sha256_of
from ansible_collections.cctv.pipeline.plugins.plugin_utils import bundle_delivery, bundle_libraries, bundle_sbom
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import (
    Failed,
    Step,
    digest_of,
    run,
    tree,
)
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_apt import ARCHITECTURE, apt_sources, stanzas
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_folder import Bundle
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_go import (
    built_name,
    dependencies,
    fill,
    module_version,
    wanted_go,
)
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_images import Buildah, Registry, oci, repository

# A changed number makes the steps of that kind run again: raise it when what they do changes.
REVISION = {"go": 1, "modules": 1, "c": 1, "apt": 1, "debian": 3, "packages": 1, "image": 2, "images": 1}
# What images do without. dpkg keeps to it in images that are based on this one, too.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*")
INCLUDED = ("/usr/share/doc/*/copyright", "/usr/share/locale/locale.alias")
INSTALL = """\
#!/bin/sh
# Installs the packages beside this file, from nowhere else.
set -eu
here=$(dirname "$0")
temporary=$(mktemp -d)
echo "deb [trusted=yes check-valid-until=no] file:$here ./" > "$temporary/sources.list"
mkdir "$temporary/lists" "$temporary/cache"
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dir::Etc::SourceList="$temporary/sources.list" -o Dir::Etc::SourceParts=/dev/null \\
        -o Dir::State::Lists="$temporary/lists" -o Dir::Cache="$temporary/cache" -o APT::Sandbox::User=root -o Dpkg::Use-Pty=0 "$@"
}
apt update
apt install --yes --no-install-recommends %s
# What differs from one run to the next.
rm -rf "$temporary" /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old
find /var/log -type f -delete
"""


IGNORED = ("__pycache__", ".git")
"""What is no source."""


def _read(path):
    """Return what a file or folder that is copied into an image holds."""
    if not os.path.exists(path):
        raise Failed("%s, a source of an image, is not there" % path)
    return tree(path, IGNORED) if os.path.isdir(path) else {os.path.basename(path): sha256_of(path)}


def _copy(source, target):
    """Copy a file or folder, with modes that are the same whatever the umask was that it was made with."""

    def place(path, place):
        shutil.copyfile(path, place, follow_symlinks=False)
        if not os.path.islink(place):
            os.chmod(place, 0o755 if os.stat(path).st_mode & stat.S_IXUSR else 0o644)

    if not os.path.isdir(source):
        place(source, target)
        return
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*IGNORED), copy_function=place)
    for folder, __, __ in os.walk(target):
        os.chmod(folder, 0o755)


class Parts:
    """Turns options into steps; ``options`` are those of the module bundle_build."""

    def __init__(self, options, machine_go):
        self.options = options
        self.files = options["files"]
        self.timestamp = str(options["timestamp"])
        self.refresh = options["refresh"]
        self.cache = options["cache"]
        self.go_wanted = wanted_go(os.path.join(self.files, "go"))
        self.machine_go = machine_go
        self.sources = apt_sources(options["suite"], options["apt_sources"])
        self.cc = run("cc", "--version") or ""
        with tempfile.TemporaryDirectory() as folder:
            # Even for this it makes a folder of its own.
            self.buildah = run("buildah", "--version", env=dict(os.environ, XDG_RUNTIME_DIR=folder)) or ""
        self.steps = []
        self.programs = {}
        """What can be put into an image or the bundle: {name: (step, path in its result, version, purl)}."""
        self.libraries = {}
        """What wheels and jars are made of: {name: [(name, version, purl)]}."""
        self.static = set()
        """The steps that need a C compiler."""

    def make(self):
        """Return all steps, each after those that it needs."""
        self._go()
        self._c()
        self._debian()
        for entry in self.options["wheels"]:
            bundle_libraries.wheels(self, entry)
        for entry in self.options["jars"]:
            bundle_libraries.jars(self, entry)
        for entry in self.options["models"]:
            bundle_libraries.models(self, entry)
        images = self._images()
        if self.options["dest"]:
            self._assemble(images)
        else:
            self._deliver(images)
        return self.steps

    def step(self, name, make, **options):
        """Add a step; return its name."""
        self.steps.append(Step(name, make, **options))
        return name

    # Go and C

    def go_environment(self, cgo=False):
        """Return the environment of go: the user's caches and proxies, and nothing that changes what is built."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CGO_")}
        for name in ("GOOS", "GOARCH", "GOAMD64", "GOEXPERIMENT", "GOROOT", "GOTMPDIR"):
            kept.pop(name, None)
        kept.update(
            GOFLAGS="-trimpath -mod=readonly -buildvcs=false",
            GOTOOLCHAIN="local",
            GOWORK="off",
            CGO_ENABLED="1" if cgo else "0",
        )
        return kept

    def _go(self):
        needs = []
        self.go = self.machine_go
        if self.go is None:
            requirements = os.path.join(self.files, "go", "requirements.txt")

            def install(task):
                bundle_libraries.run_pip(task, "--requirement", requirements)
                if not os.access(os.path.join(task.folder, "go", "bin", "go"), os.X_OK):
                    raise Failed("%s brings no go" % requirements)

            needs = [
                self.step(
                    "go",
                    install,
                    inputs={"requirements": sha256_of(requirements)},
                    needs=[bundle_libraries.pip(self)],
                    weight=20,
                )
            ]
        for module in self.options["go_modules"]:
            self._go_module(module, needs)
        programs = sorted((self.programs[name][0], name) for name in self.programs)

        def modules(task):
            found = {}
            for step, name in programs:
                said = task.run([self._go_program(task), "version", "-m", task.path(step, name)], read="output")
                found[name] = dependencies(said)
            with open(os.path.join(task.folder, "modules.json"), "w", encoding="utf-8") as out:
                json.dump(found, out, sort_keys=True)

        if programs:
            inputs = {"revision": REVISION["modules"], "programs": programs, "go": self.go.version if self.go else None}
            self.step("modules", modules, inputs=inputs, needs=sorted({step for step, __ in programs}) + needs)

    def _go_program(self, task):
        return self.go.program if self.go else task.path("go", "go", "bin", "go")

    def _go_module(self, module, needs):
        folder = os.path.join(self.files, "go", module["name"])
        version = module_version(folder, module["module"])
        flags = "-s -w " + fill(module.get("ldflags") or "", version)
        packages = {}
        for program in module["programs"]:
            package = program.get("package") or module["module"]
            # One that names a host is complete.
            complete = "." in package.split("/")[0]
            packages[program["name"]] = package if complete else module["module"] + "/" + package
        cgo = bool(module.get("cgo"))
        tags = module.get("tags") or []

        def build(task):
            source = os.path.join(task.work, "source")
            shutil.copytree(folder, source)
            go, environment = self._go_program(task), self.go_environment(cgo)
            task.run(
                [go, "build", "-ldflags", flags.strip(), "-tags", ",".join(tags), "-o", task.work + "/built/"]
                + sorted(packages.values()),
                env=environment,
                cwd=source,
            )
            for program in module["programs"]:
                path = os.path.join(task.folder, program["name"])
                os.rename(os.path.join(task.work, "built", built_name(packages[program["name"]])), path)
                check = program.get("check")
                self._check_version(
                    task, path, ["--version"] if check is None else check, self.programs[program["name"]][2]
                )

        inputs = {
            "revision": REVISION["go"],
            "sources": tree(folder),
            "packages": packages,
            "flags": flags,
            "tags": tags,
            "checks": [program.get("check") for program in module["programs"]],
            "go": self.go.version if self.go else None,
            "cc": self.cc if cgo else None,
        }
        step = self.step(
            "go-" + module["name"], build, inputs=inputs, needs=needs, weight=int(module.get("weight") or 10)
        )
        if cgo:
            self.static.add(step)
        for program in module["programs"]:
            package = packages[program["name"]]
            # A module of its own has a version of its own; a package beside go.mod has that of what it is made of.
            source, said = module["module"], version
            beside = package.startswith("./")
            if not beside and not (package + "/").startswith(source + "/"):
                source, said = package, module_version(folder, package)
            inside = "" if beside else package[len(source) :].strip("/")
            purl = bundle_sbom.go_purl(source, said)
            self.programs[program["name"]] = (step, program["name"], said, purl + ("#" + inside if inside else ""))

    def _check_version(self, task, path, arguments, version):
        """Refuse a program that does not say the version that it is."""
        number = version.lstrip("v")
        said = task.run(
            [path] + arguments,
            read="all",
            # A program of another architecture or libc could not even say this.
            env={"PATH": os.environ.get("PATH", ""), "HOME": task.work},
        )
        if not re.search(r"(?<![\d.])v?%s(?![\w.])" % re.escape(number), said):
            raise Failed(
                task.explain("%s says another version than %s: %s" % (os.path.basename(path), version, said[:200]))
            )

    def _c(self):
        for program in self.options["c_programs"]:
            folder = os.path.join(self.files, "go", program["go_module"])
            version = module_version(folder, program["module"])

            def compile_(task, program=program, folder=folder, version=version):
                source = os.path.join(task.work, "source")
                shutil.copytree(folder, source)
                said = task.run(
                    [self._go_program(task), "mod", "download", "-json", "%s@%s" % (program["module"], version)],
                    env=self.go_environment(),
                    cwd=source,
                    read="output",
                )
                path = os.path.join(task.folder, program["name"])
                task.run(
                    ["cc", "-Os", "-Wall", "-Werror", "-static", "-s", "-o", path]
                    + ["-D%s=%s" % define for define in sorted(program["defines"].items())]
                    + [os.path.join(json.loads(said)["Dir"], program["source"])]
                )
                self._check_version(task, path, program["check"], program["version"])

            step = self.step(
                "c-" + program["name"],
                compile_,
                inputs={
                    "revision": REVISION["c"],
                    "program": program,
                    "sources": tree(folder),
                    "cc": self.cc,
                },
                needs=[] if self.go else ["go"],
            )
            purl = "pkg:golang/%s@%s#%s" % (program["module"], version, os.path.dirname(program["source"]))
            self.programs[program["name"]] = (step, program["name"], program["version"], purl)

    # Debian

    def _apt(self, task, arguments, lists=None, status=None):
        """Run apt-get with a state of its own: nothing of the machine's is changed, and no privilege is needed."""
        state = os.path.join(task.work, "apt")
        for name in ("lists/partial", "cache/archives/partial", "log"):
            os.makedirs(os.path.join(state, name), exist_ok=True)
        status = status or os.path.join(state, "status")
        with open(os.path.join(state, "sources.list"), "w", encoding="utf-8") as out:
            out.write("\n".join(self.sources) + "\n")
        with open(status, "a", encoding="utf-8"):
            pass
        settings = {
            "Dir::State": state,
            "Dir::State::lists": lists or os.path.join(state, "lists"),
            "Dir::State::status": status,
            "Dir::Cache": os.path.join(state, "cache"),
            "Dir::Log": os.path.join(state, "log"),
            "Dir::Etc::sourcelist": os.path.join(state, "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Debug::NoLocking": "true",
        }
        options = [part for name, value in sorted(settings.items()) for part in ("-o", "%s=%s" % (name, value))]
        task.run(["apt-get", "-qq"] + options + list(arguments), change={"LC_ALL": "C.UTF-8"})
        return state

    def _debian(self):
        images = self.options["images"]
        if not self.options["packages"] and not any(
            image.get("packages") or "rootfs.tar" in (image.get("contents") or []) for image in images
        ):
            return
        suite = self.options["suite"]

        def lists(task):
            state = self._apt(task, ["update"])
            os.rename(os.path.join(state, "lists"), os.path.join(task.folder, "lists"))
            # apt wants these, and may not write here later.
            shutil.rmtree(os.path.join(task.folder, "lists", "partial"), ignore_errors=True)
            os.makedirs(os.path.join(task.folder, "lists", "partial"))

        def base(task):
            sources = os.path.join(task.work, "sources.list")
            with open(sources, "w", encoding="utf-8") as out:
                out.write("\n".join(self.sources) + "\n")
            rootfs = os.path.join(task.folder, "rootfs.tar")
            temporary = self._open_tmp(task)
            task.run(
                ["mmdebstrap", "--variant=minbase", "--architectures=" + ARCHITECTURE, "--skip=output/dev"]
                + ["--dpkgopt=path-exclude=" + path for path in EXCLUDED]
                + ["--dpkgopt=path-include=" + path for path in INCLUDED]
                + [
                    # Nothing of the machine that builds: pods have a name and a resolver of their own, and no source of packages.
                    '--customize-hook=cd "$1" && rm -rf etc/apt/sources.list etc/apt/sources.list.d/* etc/hostname etc/resolv.conf',
                    suite,
                    rootfs,
                    sources,
                ],
                change={"SOURCE_DATE_EPOCH": self.timestamp, "LC_ALL": "C.UTF-8", "TMPDIR": temporary},
            )
            with tarfile.open(rootfs) as tar, open(os.path.join(task.folder, "status"), "wb") as out:
                shutil.copyfileobj(tar.extractfile("./var/lib/dpkg/status"), out)

        inputs = {"suite": suite, "sources": self.sources}
        self.step("apt", lists, inputs=dict(inputs, revision=REVISION["apt"]), refresh=self.refresh, weight=8)
        self.step(
            "debian",
            base,
            inputs=dict(
                inputs,
                revision=REVISION["debian"],
                paths=[EXCLUDED, INCLUDED],
                timestamp=self.timestamp,
                tool=run("mmdebstrap", "--version"),
            ),
            refresh=self.refresh,
            weight=35,
        )
        self.programs["rootfs.tar"] = ("debian", "rootfs.tar", suite, None)
        if self.options["packages"]:
            self._packages("packages", self.options["packages"], [])

    @staticmethod
    def _open_tmp(task):
        """Return a folder for temporary files of mmdebstrap, whose users have to reach it: not in a home that is closed."""
        path = os.path.join(task.work, "tmp")
        above = task.work
        while above != "/" and os.stat(above).st_mode & stat.S_IXOTH:
            above = os.path.dirname(above)
        if above == "/" or os.geteuid() == 0:
            return path
        path = tempfile.mkdtemp(prefix="cctv-pipeline-", dir="/var/tmp")
        os.chmod(path, 0o755)
        task.temporary.append(path)
        return path

    def _packages(self, name, packages, before):
        """Add a step that downloads packages and what they need that neither the base nor the steps ``before`` have."""

        def download(task):
            status = os.path.join(task.work, "status")
            shutil.copy(task.path("debian", "status"), status)
            with open(status, "a", encoding="utf-8") as out:
                for step in before:
                    for stanza in stanzas(task.path(step, "Packages")):
                        kept = re.sub(r"^(Filename|Size|SHA256):.*\n?", "", stanza, flags=re.MULTILINE)
                        out.write("\n" + kept.strip("\n") + "\nStatus: install ok installed\n")
            state = self._apt(
                task,
                ["install", "--yes", "--download-only", "--no-install-recommends"] + list(packages),
                lists=task.path("apt", "lists"),
                status=status,
            )
            archives = os.path.join(state, "cache", "archives")
            found = []
            for file_name in sorted(os.listdir(archives)):
                if not file_name.endswith(".deb"):
                    continue
                # apt writes an epoch's colon as %3a, and would read that as a colon again.
                target = re.sub(r"_\d+%3a", "_", file_name)
                path = os.path.join(task.folder, target)
                os.rename(os.path.join(archives, file_name), path)
                control = task.run(["dpkg-deb", "--field", path], read="output").strip("\n")
                found.append(
                    "%s\nFilename: ./%s\nSize: %d\nSHA256: %s\n"
                    % (control, target, os.path.getsize(path), sha256_of(path))
                )
            index = "\n".join(found).encode()
            with open(os.path.join(task.folder, "Packages"), "wb") as out:
                out.write(index)
            with open(os.path.join(task.folder, "Release"), "w", encoding="utf-8") as out:
                out.write(
                    "Origin: cctv-pipeline\nLabel: cctv-pipeline\nSuite: %s\nCodename: %s\nArchitectures: %s\nDate: %s\nSHA256:\n %s %d Packages\n"
                    % (
                        self.options["suite"],
                        self.options["suite"],
                        ARCHITECTURE,
                        time.strftime("%a, %d %b %Y %H:%M:%S UTC", time.gmtime(int(self.timestamp))),
                        hashlib.sha256(index).hexdigest(),
                        len(index),
                    )
                )
            for path, __, names in os.walk(task.folder):
                for file_name in names:
                    os.chmod(os.path.join(path, file_name), 0o644)

        return self.step(
            name,
            download,
            inputs={"revision": REVISION["packages"], "packages": sorted(packages)},
            needs=["apt", "debian"] + before,
            weight=5,
        )

    # Images

    def _images(self):
        images = {}
        for image in self.options["images"]:
            contents = list(image.get("contents") or [])
            unknown = [name for name in contents if name not in self.programs]
            if unknown:
                raise Failed("the image %s wants %s, which nothing makes" % (image["name"], ", ".join(unknown)))
            base = image.get("base") or ""
            if base and base not in images:
                raise Failed(
                    "the image %s is based on %s, which is none of the images before it: %s"
                    % (image["name"], base, ", ".join(images) or "none")
                )
            if image["name"] in images:
                raise Failed("there are two images named %s" % image["name"])
            context = image["context"]
            if not os.path.isfile(os.path.join(context, "Dockerfile")):
                raise Failed("the image %s has no Dockerfile in %s" % (image["name"], context))
            version = self.programs[contents[0]][2] if contents else ""
            images[image["name"]] = self._image(dict(image, tag=fill(image["tag"], version), contents=contents), images)
        published = [image for image in images.values() if image.get("publish", True)]
        taken = {}
        for image in published:
            key = repository(image["name"]) + ":" + image["tag"]
            if key in taken:
                raise Failed(
                    "the images %s and %s would be the same in a site's registry, %s" % (taken[key], image["name"], key)
                )
            taken[key] = image["name"]
        return published

    def _image(self, image, images):
        base = images.get(image.get("base"))
        contents = image["contents"]
        before = list(base["packages_steps"]) if base else []
        short = repository(image["name"]).replace("/", "-")
        if any(step.name == "image-" + short for step in self.steps):
            short += "-" + digest_of(image["name"])[:6]
        own = []
        if image.get("packages"):
            own = [self._packages("packages-" + short, image["packages"], before)]
        image["packages_steps"] = before + own
        image["debian"] = base["debian"] if base else "rootfs.tar" in contents
        # With those of what it is based on.
        image["all_contents"] = (base["all_contents"] if base else []) + contents
        read = [image["context"]] + [path.rstrip("/") for path in image.get("sources") or []]
        arguments = {name: str(value) for name, value in (image.get("args") or {}).items()}

        inputs = {
            "revision": REVISION["image"],
            "image": [image["name"], image["tag"], arguments, contents, image.get("packages")],
            "context": [_read(source) for source in read],
            "install": INSTALL,
            "timestamp": self.timestamp,
            "tool": self.buildah,
        }

        def build(task):
            context = os.path.join(task.work, "context")
            for source in read:
                _copy(
                    source, context if source == image["context"] else os.path.join(context, os.path.basename(source))
                )
            if [_read(source) for source in read] != inputs["context"]:
                raise Failed("%s: its sources changed while it was built: run again" % image["name"])
            for name in contents:
                step, path = self.programs[name][:2]
                if path:
                    os.link(task.path(step, path), os.path.join(context, name))
                else:
                    shutil.copytree(task.path(step), os.path.join(context, name), symlinks=True, copy_function=os.link)
            for step in own:
                folder = os.path.join(context, "packages")
                shutil.copytree(task.path(step), folder, copy_function=os.link)
                with open(os.path.join(folder, "install"), "w", encoding="utf-8") as out:
                    out.write(INSTALL % " ".join(image["packages"]))
                os.chmod(os.path.join(folder, "install"), 0o755)
            buildah = Buildah(task)
            options = []
            if base:
                # An image from a layout is named after its path, and few paths are names.
                os.symlink(task.path(base["step"], "image"), os.path.join(task.work, "base"))
                buildah("tag", buildah("pull", "--quiet", "oci:base:image").split()[-1], "localhost/base:image")
                options += ["--build-arg", "BASE=localhost/base:image"]
            for name, value in sorted(arguments.items()):
                options += ["--build-arg", "%s=%s" % (name, value)]
            buildah(
                *("build", "--isolation", "chroot", "--pull=never", "--layers=false", "--format", "oci"),
                *("--identity-label=false", "--timestamp", self.timestamp, "--os", "linux", "--arch", ARCHITECTURE),
                *("--label", "org.opencontainers.image.title=" + image["name"]),
                *("--label", "org.opencontainers.image.version=" + image["tag"]),
                *options,
                *("--tag", "localhost/made:image", context),
            )
            layout = os.path.join(task.folder, "image")
            buildah.save("localhost/made:image", layout, task.path(base["step"], "image") if base else None)
            config = oci(layout)[2]
            if (config.get("architecture"), config.get("os")) != (ARCHITECTURE, "linux"):
                raise Failed("%s: the image is not for linux/%s" % (image["name"], ARCHITECTURE))

        image["step"] = self.step(
            "image-" + short,
            build,
            inputs=inputs,
            needs=sorted({self.programs[name][0] for name in contents})
            + own
            + ([base["step"]] if base else [])
            + (before if own else []),
            weight=10,
        )
        return image

    # Images alone

    def _deliver(self, images):
        prefix = self.options["registry"]["address"].rstrip("/") if self.options["registry"] else ""

        def layouts(task):
            return [
                (
                    "%s%s:%s" % (prefix and prefix + "/", repository(image["name"]), image["tag"]),
                    task.path(image["step"], "image"),
                )
                for image in images
            ]

        needs = [image["step"] for image in images]
        archive = self.options["archive"]
        if archive:
            self.step(
                "archive",
                lambda task: bundle_delivery.pack(archive, layouts(task), int(self.timestamp)),
                needs=needs,
                current=lambda task: bundle_delivery.packed(archive, layouts(task)),
            )
            return
        registry = bundle_delivery.Registry(**self.options["registry"])
        before = []
        for number, step in enumerate(needs):

            def current(task, number=number):
                return registry.has(*layouts(task)[number])

            def push(task, number=number):
                registry.push(task, *layouts(task)[number])

            # One after another: what two share is sent once.
            before = [self.step(step.replace("image-", "push-", 1), push, needs=needs + before, current=current)]

    # The bundle

    def _assemble(self, images):
        names = sorted([image["name"], image["tag"]] for image in images)
        checked = []
        if "kubeadm" in self.programs:
            step, path, version = self.programs["kubeadm"][:3]

            def check(task):
                """Compare with what kubeadm will ask for."""
                said = task.run(
                    [task.path(step, path), "config", "images", "list", "--kubernetes-version", version],
                    change={"HOME": task.work},
                    read="output",
                )
                missing = sorted(set(said.split()) - {":".join(name) for name in names})
                if missing:
                    raise Failed("kubeadm %s wants images that are not made: %s" % (version, ", ".join(missing)))
                with open(os.path.join(task.folder, "images"), "w", encoding="utf-8") as out:
                    out.write(said)

            checked = [self.step("check-images", check, inputs={"images": names}, needs=[step])]
        parts = []
        if images:
            if "registry" not in self.programs:
                raise Failed("images want the program registry, which nothing makes")
            serving = self.programs["registry"]

            def publish(task):
                with Registry(task, task.path(*serving[:2]), task.folder) as registry:
                    for image in images:
                        registry.push(task.path(image["step"], "image"), repository(image["name"]), image["tag"])

            self.step(
                "images",
                publish,
                inputs={"revision": REVISION["images"], "images": names},
                needs=checked + [serving[0]] + [image["step"] for image in images],
                weight=10,
            )
            parts.append(("images", "images"))
        steps = [step.name for step in self.steps]
        if "packages" in steps:
            parts.append(("packages", "deb"))
        placed = {
            program["folder"] + "/" + program["name"]: program["name"]
            for module in self.options["go_modules"]
            for program in module["programs"]
            if program.get("folder")
        }
        needs = {self.programs[name][0] for name in placed.values()} | {step for step, __ in parts} | set(checked)
        needs |= {step for image in images for step in image["packages_steps"] + [image["step"]]}
        needs |= {"debian", "modules"} & set(steps)
        bundle = Bundle(self, images, placed, parts)
        self.step("bundle", bundle.assemble, needs=sorted(needs), current=bundle.assembled, weight=5)
        if self.options["tar"]:
            self.step("tar", bundle.pack, needs=["bundle"], current=bundle.packed, weight=5)
