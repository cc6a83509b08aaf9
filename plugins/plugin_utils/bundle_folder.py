# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The bundle itself: one folder, put together from what the steps made, and a tar of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile

from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256 as sha256_of
from ansible_collections.cctv.pipeline.plugins.plugin_utils import bundle_sbom
from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import (
    Failed,
    digest_of,
    tree,
)
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_apt import ARCHITECTURE, fields, stanzas
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_images import oci


class Bundle:
    """The folder, put together from what the steps made, and its tar."""

    def __init__(self, parts, images, placed, folders):
        self.parts = parts
        self.images = images
        self.placed = placed
        self.folders = folders
        self.dest = parts.options["dest"]
        self.tar = self.dest + ".tar"

    def _wanted(self, task):
        """Return {path in the bundle: (source, [sha256, executable])}."""
        wanted = {}
        for place, name in self.placed.items():
            step, path = self.parts.programs[name][:2]
            wanted[place] = (task.path(step, path), task.results[step].files()[path])
        for step, folder in self.folders:
            for path, what in task.results[step].files().items():
                wanted[folder + "/" + path] = (task.path(step, path), what)
        return wanted

    def _document(self, task, wanted):
        files = {}
        for place, (__, (sha256, executable)) in wanted.items():
            files[place] = {"sha256": sha256, "executable": executable}
        modules = {}
        if "modules" in task.results:
            with open(task.path("modules", "modules.json"), encoding="utf-8") as source:
                modules = {
                    name: [(module, version, bundle_sbom.go_purl(module, version)) for module, version in found]
                    for name, found in json.load(source).items()
                }
        for place, name in self.placed.items():
            version, purl = self.parts.programs[name][2:]
            files[place].update(version=version, purl=purl, contents=modules.get(name, []))
        suite = self.parts.options["suite"]
        for package in self._fields(task, ["packages"], "Packages"):
            files["deb/" + package["Filename"][2:]].update(
                version=package["Version"], purl=bundle_sbom.deb_purl(package, suite)
            )
        base = self._fields(task, ["debian"], "status")
        images = []
        for image in self.images:
            contents = []
            if image["debian"]:
                inside = base + self._fields(task, image["packages_steps"], "Packages")
                contents += [
                    (package["Package"], package["Version"], bundle_sbom.deb_purl(package, suite)) for package in inside
                ]
            contents += [
                (name, self.parts.programs[name][2], self.parts.programs[name][3])
                for name in image["all_contents"]
                if self.parts.programs[name][3]
            ]
            for name in image["all_contents"]:
                contents += modules.get(name, []) + self.parts.libraries.get(name, [])
            digest = oci(task.path(image["step"], "image"))[0]["digest"].split(":")[1]
            images.append({"name": image["name"], "version": image["tag"], "sha256": digest, "contents": contents})
        properties = {"cctv:architecture": ARCHITECTURE, "cctv:debian": suite}
        if "kubeadm" in self.parts.programs:
            properties["cctv:kubernetes_version"] = self.parts.programs["kubeadm"][2]
        return bundle_sbom.document(files, images, properties)

    @staticmethod
    def _fields(task, steps, name):
        """Return the packages that a file of some steps lists."""
        return [fields(stanza) for step in steps if step in task.results for stanza in stanzas(task.path(step, name))]

    def assembled(self, task):
        """Return whether the folder is what it would be made to be, to the last byte."""
        wanted = self._wanted(task)
        manifest = os.path.join(self.dest, "bundle.json")
        try:
            with open(manifest, encoding="utf-8") as source:
                if source.read() != self._document(task, wanted):
                    return False
        except OSError:
            return False
        expected = {place: what for place, (__, what) in wanted.items()}
        found = tree(self.dest)
        found.pop("bundle.json", None)
        return found == expected

    def assemble(self, task):
        """Put the folder in place of the one that is there."""
        wanted = self._wanted(task)
        parent = os.path.dirname(self.dest)
        os.makedirs(parent, exist_ok=True)
        new = os.path.join(parent, ".%s.new" % os.path.basename(self.dest))
        old = os.path.join(parent, ".%s.old" % os.path.basename(self.dest))
        for folder in (new, old):
            shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(new)
        try:
            for place, (source, (sha256, executable)) in wanted.items():
                target = os.path.join(new, place)
                os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
                digest = hashlib.sha256()
                with open(source, "rb") as incoming, open(target, "wb") as out:
                    for block in iter(lambda: incoming.read(1 << 20), b""):
                        digest.update(block)
                        out.write(block)
                if digest.hexdigest() != sha256:
                    raise Failed(
                        "%s is not what was made: remove the folder %s and run again"
                        % (source, source.split("/made/")[0])
                    )
                os.chmod(target, 0o755 if executable else 0o644)
            with open(os.path.join(new, "bundle.json"), "w", encoding="utf-8") as out:
                out.write(self._document(task, wanted))
            if os.path.lexists(self.dest):
                os.rename(self.dest, old)
            os.rename(new, self.dest)
        finally:
            for folder in (new, old):
                shutil.rmtree(folder, ignore_errors=True)

    def _mark(self):
        status = os.stat(self.tar)
        return {
            "bundle": sha256_of(os.path.join(self.dest, "bundle.json")),
            "tar": [self.tar, status.st_size, status.st_mtime_ns],
        }

    @property
    def _marked(self):
        return os.path.join(self.parts.cache, "tar-%s.json" % digest_of(self.tar)[:12])

    def packed(self, _task):
        """Return whether the tar is the one that was made of this folder."""
        try:
            with open(self._marked, encoding="utf-8") as source:
                return json.load(source) == self._mark()
        except (OSError, ValueError):
            return False

    def pack(self, _task):
        """Write the tar: the same bytes for the same bundle."""
        new = self.tar + ".new"

        def neutral(member):
            member.uid = member.gid = 0
            member.uname = member.gname = "root"
            member.mtime = int(self.parts.timestamp)
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        try:
            with tarfile.open(new, "w", format=tarfile.GNU_FORMAT) as tar:
                tar.add(self.dest, arcname=os.path.basename(self.dest), filter=neutral)
            os.rename(new, self.tar)
        finally:
            if os.path.exists(new):
                os.unlink(new)
        with open(self._marked, "w", encoding="utf-8") as out:
            json.dump(self._mark(), out)
