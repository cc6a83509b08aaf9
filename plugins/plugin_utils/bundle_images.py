# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Container images of a bundle: buildah builds them, and a registry takes them."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import time
from urllib.parse import quote, urlsplit

from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Failed, remove, run


def repository(name):
    """Return an image's repository in the site's registry: its name without the host."""
    host, slash, rest = name.partition("/")
    return rest if slash and ("." in host or ":" in host or host == "localhost") else name


def blob_path(folder, digest):
    """Return where an OCI layout has a blob."""
    return os.path.join(folder, "blobs", *digest.split(":"))


def oci(folder):
    """Return (descriptor, manifest, config) of the image in an OCI layout."""

    def blob(descriptor):
        with open(blob_path(folder, descriptor["digest"]), encoding="utf-8") as source:
            return json.load(source)

    with open(os.path.join(folder, "index.json"), encoding="utf-8") as source:
        descriptor = json.load(source)["manifests"][0]
    manifest = blob(descriptor)
    return descriptor, manifest, blob(manifest["config"])


class Buildah:
    """Runs buildah with a storage of its own, which goes with the step's folder."""

    def __init__(self, task):
        self.task = task
        base = os.path.join(task.work, "containers")
        # An open one is not taken.
        os.makedirs(os.path.join(base, "run"), mode=0o700)
        # None of the machine's own settings.
        self._write(base, "containers.conf", "")
        self._write(base, "registries.conf", "")
        self._write(base, "policy.json", '{"default": [{"type": "insecureAcceptAnything"}]}')
        self.policy = os.path.join(base, "policy.json")
        self.environment = {
            "CONTAINERS_STORAGE_CONF": os.path.join(base, "storage.conf"),
            "CONTAINERS_CONF": os.path.join(base, "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": os.path.join(base, "registries.conf"),
            "XDG_CONFIG_HOME": base,
            "XDG_DATA_HOME": base,
            "XDG_RUNTIME_DIR": os.path.join(base, "run"),
        }
        environment = dict(os.environ, **self.environment)
        # The second copies whole file systems, but works everywhere. In a user namespace the first leaves its own
        # extended attributes in images.
        for driver in ("overlay", "vfs") if os.geteuid() == 0 else ("vfs",):
            self._write(base, "storage.conf", '[storage]\ndriver = "%s"\n' % driver)
            self.command = ["buildah", "--root", base + "/storage", "--runroot", base + "/run/containers"]
            self.command += ["--storage-driver", driver]
            if driver == "vfs" or run(*self.command, "info", env=environment):
                break
            remove(base + "/storage")

    @staticmethod
    def _write(base, name, content):
        with open(os.path.join(base, name), "w", encoding="utf-8") as out:
            out.write(content)

    def __call__(self, command, *arguments):
        options = ["--signature-policy", self.policy] if command in ("pull", "build", "push") else []
        return self.task.run(
            self.command + [command] + options + list(arguments),
            change=self.environment,
            cwd=self.task.work,
            read="output" if command == "pull" else "",
        )

    def save(self, image, layout, base=None):
        """Write an image as an OCI layout; it shares the layers, and their files, of the layout of its ``base``."""
        os.makedirs(os.path.join(layout, "blobs", "sha256"))
        known = {}
        if base:
            __, manifest, config = oci(base)
            known = dict(zip(config["rootfs"]["diff_ids"], manifest["layers"]))
        for digest in known:
            # buildah neither reads nor compresses a layer that is there already.
            self._write(layout, os.path.relpath(blob_path(layout, digest), layout), "")
        self("push", "--quiet", image, "oci:%s:image" % layout)
        for digest in known:
            os.unlink(blob_path(layout, digest))
        descriptor, manifest, __ = oci(layout)
        for index, layer in enumerate(manifest["layers"]):
            if layer["digest"] in known:
                manifest["layers"][index] = layer = known[layer["digest"]]
                if not os.path.exists(blob_path(layout, layer["digest"])):
                    os.link(blob_path(base, layer["digest"]), blob_path(layout, layer["digest"]))
        os.unlink(blob_path(layout, descriptor["digest"]))
        content = json.dumps(manifest)
        descriptor.update(digest="sha256:" + hashlib.sha256(content.encode()).hexdigest(), size=len(content))
        self._write(layout, os.path.relpath(blob_path(layout, descriptor["digest"]), layout), content)
        self._write(layout, "index.json", json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))


class Registry:
    """The bundle's own registry, for as long as images are put into its storage."""

    def __init__(self, task, program, storage):
        self.task = task
        self.program = program
        self.storage = storage
        self.process = None
        self.address = None

    def __enter__(self):
        config = os.path.join(self.task.work, "registry.yml")
        with open(config, "w", encoding="utf-8") as out:
            json.dump(
                {
                    "version": 0.1,
                    "log": {"level": "info", "accesslog": {"disabled": True}},
                    "storage": {"filesystem": {"rootdirectory": self.storage}, "cache": {"blobdescriptor": ""}},
                    # The system chooses a free port, and the log tells which.
                    "http": {"addr": "127.0.0.1:0"},
                },
                out,
            )
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "OTEL_"))}
        environment["OTEL_TRACES_EXPORTER"] = "none"
        with open(self.task.log, "ab") as log:
            self.process = self.task.start([self.program, "serve", config], stdout=log, stderr=log, env=environment)
        try:
            deadline = time.monotonic() + 30
            while not self.address:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(self.task.explain("the registry does not start"))
                time.sleep(0.05)
                with open(self.task.log, encoding="utf-8", errors="replace") as log:
                    found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read())
                self.address = found.group(1) if found else None
        except BaseException:
            self.task.end(self.process)
            raise
        return self

    def __exit__(self, *_what):
        self.task.end(self.process)

    def _ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=300)
        try:
            connection.request(
                method, path, body, {name.replace("_", "-"): str(value) for name, value in headers.items()}
            )
            answer = connection.getresponse()
            said = answer.read()
            return answer.status, answer.headers, said
        finally:
            connection.close()

    def push(self, layout, name, tag):
        """Put the image of an OCI layout under a name; its blobs stay as they are, so digests do."""
        descriptor, manifest = oci(layout)[:2]
        for blob in [manifest["config"]] + manifest["layers"]:
            self._blob(layout, name, blob)
        with open(blob_path(layout, descriptor["digest"]), "rb") as source:
            status, headers, said = self._ask(
                "PUT",
                "/v2/%s/manifests/%s" % (name, tag),
                source.read(),
                Content_Type=descriptor["mediaType"],
            )
        if status != 201 or headers["Docker-Content-Digest"] != descriptor["digest"]:
            raise Failed(self.task.explain("the registry refuses %s:%s: %s %s" % (name, tag, status, said[:300])))

    def _blob(self, layout, name, blob):
        if self._ask("HEAD", "/v2/%s/blobs/%s" % (name, blob["digest"]))[0] == 200:
            return
        status, headers, said = self._ask("POST", "/v2/%s/blobs/uploads/" % name, Content_Length=0)
        if status == 202:
            place = urlsplit(headers["Location"])
            path = "%s?%s%sdigest=%s" % (place.path, place.query, "&" if place.query else "", quote(blob["digest"]))
            with open(blob_path(layout, blob["digest"]), "rb") as source:
                status, headers, said = self._ask(
                    "PUT", path, source, Content_Length=blob["size"], Content_Type="application/octet-stream"
                )
        if status != 201:
            raise Failed(self.task.explain("the registry refuses a blob of %s: %s %s" % (name, status, said[:300])))
