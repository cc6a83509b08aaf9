# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Writes bundle.json: a CycloneDX 1.6 document that is both the bundle's bill of materials and its manifest."""

from __future__ import annotations

import hashlib
import json
import uuid
from urllib.parse import quote

NAME = "cctv-pipeline-bundle"


def deb_purl(package, suite):
    """Return the package URL of a Debian package, given its fields."""
    return "pkg:deb/debian/%s@%s?arch=%s&distro=%s" % (
        quote(package["Package"], safe=".-"),
        quote(package["Version"], safe=".-~"),
        package["Architecture"],
        suite,
    )


def go_purl(module, version):
    """Return the package URL of a Go module."""
    return "pkg:golang/%s@%s" % (quote(module, safe="/.-_~"), quote(version, safe=".-"))


def _nested(contents):
    return [
        {"type": "library", "name": name, "version": version, "purl": purl}
        for name, version, purl in sorted(set(contents))
    ]


def bundle_version(files):
    """Return the version of a bundle: a hash over all files' hashes."""
    lines = "".join("%s  %s\n" % (files[path]["sha256"], path) for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()[:12]


def document(files, images, properties):
    """Return the document as text, the same for the same content.

    ``files`` is ``{path: {sha256, executable, version?, purl?, contents?}}``, ``images`` a list of
    ``{name, version, sha256, contents}``, where ``contents`` is ``[(name, version, purl)]`` of what one is made of.
    """
    version = bundle_version(files)
    components = []
    for path in sorted(files):
        entry = files[path]
        component = {"type": "file", "bom-ref": "file:" + path, "name": path}
        if entry.get("version"):
            component["version"] = entry["version"]
        component["hashes"] = [{"alg": "SHA-256", "content": entry["sha256"]}]
        if entry.get("purl"):
            component["purl"] = entry["purl"]
        if entry["executable"]:
            component["properties"] = [{"name": "cctv:executable", "value": "true"}]
        if entry.get("contents"):
            component["components"] = _nested(entry["contents"])
        components.append(component)
    for image in sorted(images, key=lambda image: (image["name"], image["version"])):
        reference = "image:%s:%s" % (image["name"], image["version"])
        component = {
            "type": "container",
            "bom-ref": reference,
            "name": image["name"],
            "version": image["version"],
            "hashes": [{"alg": "SHA-256", "content": image["sha256"]}],
            "purl": "pkg:oci/%s@sha256%%3A%s?tag=%s"
            % (quote(image["name"].split("/")[-1].lower()), image["sha256"], quote(image["version"], safe=".-")),
        }
        if image["contents"]:
            component["components"] = _nested(image["contents"])
        components.append(component)
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:%s" % uuid.uuid5(uuid.NAMESPACE_URL, NAME + ":" + version),
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": NAME,
                "name": NAME,
                "version": version,
                "properties": [{"name": name, "value": value} for name, value in sorted(properties.items())],
            }
        },
        "components": components,
    }
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"
