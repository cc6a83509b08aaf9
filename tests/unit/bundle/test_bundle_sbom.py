"""bundle.json: valid CycloneDX, the same for the same bundle."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.cctv.pipeline.plugins.plugin_utils.bundle_sbom import deb_purl, document
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

PACKAGE = {"Package": "libstdc++6", "Version": "1:12.2.0-14+deb12u1", "Architecture": "amd64"}
PURL = "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14%2Bdeb12u1?arch=amd64&distro=bookworm"
FILES: dict[str, dict[str, Any]] = {
    "bin/kubelet": {
        "sha256": "a" * 64,
        "executable": True,
        "version": "v1.36.3",
        "purl": "pkg:golang/k8s.io/kubernetes@v1.36.3#cmd/kubelet",
    },
    "deb/Packages": {"sha256": "b" * 64, "executable": False},
}
IMAGES = [
    {
        "name": "cctv.local/debian",
        "version": "bookworm",
        "sha256": "c" * 64,
        "contents": [("libstdc++6", "12", PURL)] * 2,
    },
    {"name": "registry.k8s.io/pause", "version": "3.10.2", "sha256": "d" * 64, "contents": []},
]
PROPERTIES = {"cctv:architecture": "amd64", "cctv:kubernetes_version": "v1.36.3"}


def test_document_is_valid() -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(document(FILES, IMAGES, PROPERTIES)) is None


def test_document_says_what_each_thing_is() -> None:
    said = json.loads(document(FILES, IMAGES, PROPERTIES))
    kubelet, packages, debian, pause = said["components"]
    assert kubelet == {
        "type": "file",
        "bom-ref": "file:bin/kubelet",
        "name": "bin/kubelet",
        "version": "v1.36.3",
        "hashes": [{"alg": "SHA-256", "content": "a" * 64}],
        "purl": "pkg:golang/k8s.io/kubernetes@v1.36.3#cmd/kubelet",
        "properties": [{"name": "cctv:executable", "value": "true"}],
    }
    assert "properties" not in packages
    assert [inside["purl"] for inside in debian["components"]] == [PURL]
    assert pause["purl"] == f"pkg:oci/pause@sha256%3A{'d' * 64}?tag=3.10.2"
    assert {entry["name"]: entry["value"] for entry in said["metadata"]["component"]["properties"]} == PROPERTIES


def test_version_is_that_of_the_files() -> None:
    def version(files: dict[str, dict[str, Any]]) -> str:
        found = json.loads(document(files, IMAGES, PROPERTIES))["metadata"]["component"]["version"]
        assert isinstance(found, str)
        return found

    assert version(FILES) == version(dict(reversed(FILES.items())))
    assert document(FILES, IMAGES, PROPERTIES) == document(FILES, IMAGES[::-1], PROPERTIES)
    assert len(version(FILES)) == 12
    assert version(FILES) != version(FILES | {"deb/Packages": FILES["deb/Packages"] | {"sha256": "0" * 64}})


def test_package_url_of_a_debian_package() -> None:
    assert deb_purl(PACKAGE, "bookworm") == PURL
