# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Brings images to where a cluster that is not of the bundle's takes them from: a registry, or a tar that engines load."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile

from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Failed
from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_images import blob_path, oci

TIMEOUT = 60
ABSENT = re.compile(
    r"manifest unknown|name unknown|not found|status code 404|requested access to the resource is denied", re.IGNORECASE
)
# What skopeo says, and what a person does about it.
ADVICE = (
    (r"x509|certificate", "set images_ca_file to the certificate of the authority that signed the registry's"),
    (r"server gave HTTP response", "it has to speak TLS"),
    (
        r"unauthorized|authentication required|denied|invalid username/password",
        "set images_username and images_password, or images_auth_file, to what may push there",
    ),
    (r"connection refused|no such host|timeout|timed out|unreachable", "see that this machine reaches it"),
)


class Registry:
    """A registry of somebody's, and the folder in it that names of images begin with; skopeo speaks with it."""

    def __init__(self, address, username="", password="", auth_file="", ca_file=""):
        self.address = address.rstrip("/")
        self.username = username
        self.password = password
        self.auth_file = auth_file
        self.ca_file = ca_file

    def _command(self, folder, *arguments):
        """Return how skopeo is called, with files for it in ``folder``."""
        options = []
        policy = os.path.join(folder, "policy.json")
        with open(policy, "w", encoding="utf-8") as out:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, out)
        side = "dest-" if arguments[0] == "copy" else ""
        if self.ca_file:
            certificates = os.path.join(folder, "certificates")
            os.mkdir(certificates)
            shutil.copy(self.ca_file, os.path.join(certificates, "ca.crt"))
            options.append("--%scert-dir=%s" % (side, certificates))
        auth_file = self.auth_file
        if self.username:
            # Others could read an argument.
            auth_file = os.path.join(folder, "auth.json")
            auth = base64.b64encode(("%s:%s" % (self.username, self.password)).encode()).decode()
            with os.fdopen(os.open(auth_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
                json.dump({"auths": {self.address.split("/")[0]: {"auth": auth}}}, out)
        if auth_file:
            options.append("--%sauthfile=%s" % (side, auth_file))
        return ["skopeo", "--policy", policy, arguments[0]] + options + list(arguments[1:])

    def _refused(self, said):
        line = said.strip().splitlines()[-1] if said.strip() else "skopeo says nothing"
        line = re.sub(r'^time="[^"]*" level=\w+ msg="?|"$', "", line)
        advice = next((advice for pattern, advice in ADVICE if re.search(pattern, line, re.IGNORECASE)), "")
        return "images_registry is %s: %s%s" % (self.address, line, advice and ": " + advice)

    def has(self, name, layout):
        """Return whether the registry has the image of a layout under a name.

        :raises Failed: it does not answer, or not to us.
        """
        if not shutil.which("skopeo"):
            return False
        with tempfile.TemporaryDirectory() as folder:
            command = self._command(folder, "inspect", "--raw", "docker://" + name)
            try:
                done = subprocess.run(
                    command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT, check=False
                )
            except subprocess.TimeoutExpired:
                raise Failed(self._refused("it does not answer in %d s: timeout" % TIMEOUT)) from None
        if done.returncode == 0:
            return "sha256:" + hashlib.sha256(done.stdout).hexdigest() == oci(layout)[0]["digest"]
        said = done.stderr.decode(errors="replace")
        if ABSENT.search(said):
            return False
        raise Failed(self._refused(said))

    def push(self, task, name, layout):
        """Put the image of a layout there; layers that it has are not sent."""
        # A path may hold what means something in skopeo's names.
        os.symlink(layout, os.path.join(task.work, "layout"))
        with tempfile.TemporaryDirectory(dir=task.work) as folder:
            command = self._command(
                folder,
                "copy",
                "--quiet",
                "--preserve-digests",
                "--retry-times=2",
                "oci:layout:image",
                "docker://" + name,
            )
            try:
                task.run(command, cwd=task.work)
            except Failed:
                with open(task.log, encoding="utf-8", errors="replace") as log:
                    raise Failed(self._refused(log.read())) from None


def _documents(images):
    """Return the small files of a tar of ``[(name, layout)]``, as Docker, Podman and containerd read them."""
    legacy, manifests, blobs = [], [], {}
    for name, layout in images:
        descriptor, manifest, __ = oci(layout)
        for blob in [descriptor, manifest["config"]] + manifest["layers"]:
            blobs[blob["digest"]] = layout
        legacy.append(
            {
                "Config": blob_path("", manifest["config"]["digest"]),
                "RepoTags": [name],
                "Layers": [blob_path("", layer["digest"]) for layer in manifest["layers"]],
            }
        )
        host = name.split("/")[0]
        full = name if re.search(r"[.:]|^localhost$", host) else "docker.io/" + name
        annotations = {
            "io.containerd.image.name": full,
            "org.opencontainers.image.ref.name": name.rsplit(":", 1)[-1],
        }
        manifests.append(dict(descriptor, annotations=annotations))
    files = {
        "index.json": {"schemaVersion": 2, "manifests": manifests},
        "manifest.json": legacy,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
    }
    return {name: json.dumps(content).encode() for name, content in files.items()}, blobs


def packed(path, images):
    """Return whether a tar is the one of these images."""
    wanted = _documents(images)[0]["index.json"]
    try:
        with tarfile.open(path) as tar:
            return tar.extractfile("index.json").read() == wanted
    except (OSError, KeyError, tarfile.TarError):
        return False


def pack(path, images, timestamp):
    """Write a tar of images, each layer once."""
    documents, blobs = _documents(images)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = path + ".new"
    try:
        with tarfile.open(new, "w", format=tarfile.GNU_FORMAT) as tar:
            for name in sorted(documents):
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(documents[name]), timestamp
                tar.addfile(member, io.BytesIO(documents[name]))
            for digest in sorted(blobs):
                member = tarfile.TarInfo(blob_path("", digest))
                member.size, member.mtime = os.path.getsize(blob_path(blobs[digest], digest)), timestamp
                with open(blob_path(blobs[digest], digest), "rb") as source:
                    tar.addfile(member, source)
        os.rename(new, path)
    except OSError as error:
        raise Failed("images_dest is %s: %s" % (path, error.strerror or error)) from error
    finally:
        if os.path.exists(new):
            os.unlink(new)
