# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's side of a bundle: where packages come from, and what apt's and dpkg's files say of them."""

from __future__ import annotations

import re

from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import run

ARCHITECTURE = "amd64"
PARTS = ("", "-updates", "-security")
"""A Debian suite's own parts, as apt's sources name them."""


def apt_sources(suite, given):
    """Return lines of a sources.list: those given, or the machine's own for a suite."""
    if given:
        return list(given)
    said = run(
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)",
        "Identifier: Packages",
        "Target-Of: deb",
        "Architecture: " + ARCHITECTURE,
    )
    lines = []
    for line in (said or "").splitlines():
        uri, release, component, signed = line.split("|")
        if release in [suite + part for part in PARTS] and component == "main":
            # apt leaves what is not set as it is written.
            option = " signed-by=" + signed if signed.startswith("/") else ""
            lines.append("deb [arch=%s%s] %s %s %s" % (ARCHITECTURE, option, uri, release, component))
    return sorted(set(lines))


def stanzas(path):
    """Yield the stanzas of a file of dpkg's or apt's as texts."""
    with open(path, encoding="utf-8") as source:
        for stanza in source.read().split("\n\n"):
            if stanza.strip():
                yield stanza.strip("\n")


def fields(stanza):
    """Return the one-line fields of a stanza."""
    return dict(re.findall(r"^([A-Za-z0-9-]+): *(.*)$", stanza, re.MULTILINE))
