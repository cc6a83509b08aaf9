# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads and verifies a bundle: one folder with all that a cluster's nodes need, told file by file in its ``bundle.json``, a CycloneDX SBOM."""

from __future__ import annotations

import concurrent.futures
import json
import os

from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256

NAME = "cctv-pipeline-bundle"
MANIFEST = "bundle.json"


class BundleError(Exception):
    """A folder is not a bundle that this collection understands; the message says why."""


class Bundle:
    """What a bundle says of itself.

    ``files`` maps paths, relative to the bundle, to (SHA-256 in hexadecimal digits, whether it is executable); ``images`` maps names of
    container images to tags; ``versions`` maps the base names of binaries to their versions.
    """

    def __init__(self, document):
        component = document["metadata"]["component"]
        if component["name"] != NAME:
            raise BundleError("it describes %s; expected %s" % (component["name"], NAME))
        properties = {entry["name"]: entry["value"] for entry in component["properties"]}
        self.version = component["version"]
        self.architecture = properties["cctv:architecture"]
        self.kubernetes_version = properties["cctv:kubernetes_version"]
        self.debian = properties["cctv:debian"]
        self.files = {}
        self.images = {}
        self.versions = {}
        for entry in document["components"]:
            name = entry["name"]
            if entry["type"] == "container":
                self.images[name] = entry["version"]
            elif entry["type"] == "file":
                digest = {each["alg"]: each["content"] for each in entry["hashes"]}["SHA-256"]
                marks = {each["name"]: each["value"] for each in entry.get("properties", [])}
                self.files[name] = (digest, marks.get("cctv:executable") == "true")
                if name.startswith(("bin/", "cni/")):
                    self.versions[os.path.basename(name)] = entry["version"]


def read(folder):
    """Return the Bundle in ``folder``.

    :raises BundleError: it is missing, or is not a bundle.
    """
    path = os.path.join(folder, MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            return Bundle(json.load(file))
    except OSError as error:
        raise BundleError("%s cannot be read: %s" % (path, error.strerror)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError("%s is not a bundle's manifest: %s: %s" % (path, type(error).__name__, error)) from error


def problems(folder, bundle):
    """Return a line for each file of ``bundle`` that is missing from ``folder`` or is another one, the first by name first."""

    def problem(name):
        try:
            found = sha256(os.path.join(folder, name))
        except OSError as error:
            return "%s: %s" % (name, error.strerror)
        wanted = bundle.files[name][0]
        return "" if found == wanted else "%s: has SHA-256 %s; expected %s" % (name, found, wanted)

    # Hashing lets other threads run.
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [line for line in pool.map(problem, sorted(bundle.files)) if line]
