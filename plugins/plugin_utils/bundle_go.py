# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which Go builds a bundle, and what go.mod files and programs say of versions."""

from __future__ import annotations

import os
import re

from ansible_collections.cctv.pipeline.plugins.plugin_utils.build_graph import Failed


class Go:
    """A Go that is used as it is: it downloads no other one."""

    def __init__(self, program, version):
        self.program = program
        self.version = version


def numbers(version):
    """Return a version's numbers, to compare."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def wanted_go(folder):
    """Return the newest version that one of the go.mod files in the folders of ``folder`` wants."""
    wanted = []
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "go.mod")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as source:
                wanted += re.findall(r"^go (\S+)$", source.read(), re.MULTILINE)
    return max(wanted, key=numbers)


def module_version(folder, module):
    """Return the version of a module that a folder's go.mod requires."""
    with open(os.path.join(folder, "go.mod"), encoding="utf-8") as source:
        found = re.findall(r"^\s*(?:require )?%s (v\S+)" % re.escape(module), source.read(), re.MULTILINE)
    if not found:
        raise Failed("%s/go.mod does not require %s" % (folder, module))
    return found[0]


def fill(text, version):
    """Put a version into a text: {version} v1.2.3, {number} 1.2.3, {major} 1, {minor} 2."""
    number = version[1:] if version.startswith("v") else version
    parts = (number.split(".") + ["", ""])[:2]
    for name, value in (("version", version), ("number", number), ("major", parts[0]), ("minor", parts[1])):
        text = text.replace("{%s}" % name, value)
    return text


def built_name(package):
    """Return the name that go gives the program of a package."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]


def dependencies(said):
    """Return sorted [module, version] of what `go version -m` says that a program is made of."""
    found = []
    for line in said.splitlines():
        word, __, rest = line.strip().partition("\t")
        if word == "dep":
            found.append(rest.split("\t")[:2])
        elif word == "=>" and found:
            # What another module is replaced by, if that is a module and no folder.
            found[-1] = rest.split("\t")[:2]
    return sorted(found)
