#!/usr/bin/python
# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_files
short_description: Put files of a bundle, and texts, in their places on a host
version_added: 1.1.0
description:
  - Places many files in one call, in their order. Only those that the host lacks are sent, together, and each is verified by its SHA-256 before it
    replaces, at once, what was there. Missing parent folders are made.
  - An interrupted call leaves each file as it was or as it should be; the next one sends the rest.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  bundle:
    description: The bundle on the controller; needed when any of O(files) has a C(src).
    type: path
  files:
    description:
      - What to place. Each has C(dest), an absolute path, and either C(content), a text, or C(src), a path relative to O(bundle).
        A C(src) that ends with a slash is a folder, and so is its C(dest).
      - C(mode) is in octal digits, by default C(0755) for the bundle's executables, else C(0644). All are owned by the user that the task becomes.
      - With C(exclusive) a folder loses every file that the bundle does not have.
    type: list
    elements: dict
    required: true
  exclusive:
    description: Set by the action plugin of the same name.
    type: list
    elements: path
    default: []
  archive:
    description: Set by the action plugin of the same name.
    type: path
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
"""

EXAMPLES = r"""
- name: Place the kubelet and its unit
  cctv.pipeline.bundle_files:
    bundle: ~/.local/share/cctv-pipeline/bundle
    files:
      - src: bin/kubelet
        dest: /usr/local/bin/kubelet
      - src: cni/
        dest: /opt/cni/bin/
      - content: "{{ lookup('ansible.builtin.template', 'kubelet.service.j2') }}"
        dest: /etc/systemd/system/kubelet.service
  become: true
"""

RETURN = r"""
files:
  description: Paths of what was placed or removed, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [/usr/local/bin/kubelet]
missing:
  description: Paths of what the action plugin has to send.
  returned: success
  type: list
  elements: str
"""

import contextlib
import io
import os
import shutil
import stat
import tarfile
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.cctv.pipeline.plugins.module_utils.files import sha256, text


def state(path):
    """Return (SHA-256, permission bits) of a regular file, or None."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (sha256(path), stat.S_IMODE(found.st_mode)) if stat.S_ISREG(found.st_mode) else ("", 0)


def place(entry, source):
    """Make ``entry`` of the open file ``source``; it appears whole and verified, or not at all."""
    parent = os.path.dirname(entry["dest"])
    os.makedirs(parent, exist_ok=True)
    descriptor, scratch = tempfile.mkstemp(dir=parent, prefix=".cctv-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
            os.fchmod(descriptor, int(entry["mode"], 8))
        if sha256(scratch) != entry["sha256"]:
            raise ValueError("%s arrived with another SHA-256 than %s" % (entry["dest"], entry["sha256"]))
        os.replace(scratch, entry["dest"])
    except BaseException:
        os.unlink(scratch)
        raise


def strangers(folder, known):
    """Yield the files below ``folder`` that are not in ``known``."""
    for parent, dummy, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if path not in known:
                yield path


def difference(entry, before):
    if "content" in entry:
        old, new = text(entry["dest"]), entry["content"]
    else:
        old = "" if before is None else "SHA-256 %s\n" % before[0]
        new = "SHA-256 %s\n" % entry["sha256"]
    if before is not None and before[1] != int(entry["mode"], 8):
        old, new = "mode %04o\n%s" % (before[1], old), "mode %s\n%s" % (entry["mode"], new)
    return {"before_header": entry["dest"], "after_header": entry["dest"], "before": old, "after": new}


def main():
    module = AnsibleModule(
        argument_spec={
            "bundle": {"type": "path"},
            "files": {"type": "list", "elements": "dict", "required": True},
            "exclusive": {"type": "list", "elements": "path", "default": []},
            "archive": {"type": "path"},
        },
        supports_check_mode=True,
    )
    entries = module.params["files"]
    befores = {entry["dest"]: state(entry["dest"]) for entry in entries}
    stale = [entry for entry in entries if befores[entry["dest"]] != (entry["sha256"], int(entry["mode"], 8))]
    known = {entry["dest"] for entry in entries}
    extra = sorted(path for folder in module.params["exclusive"] for path in strangers(folder, known))
    changed = [entry["dest"] for entry in stale] + extra
    result = {
        "changed": bool(changed),
        "files": changed,
        "missing": [],
        "diff": [difference(entry, befores[entry["dest"]]) for entry in stale]
        + [{"before_header": path, "after_header": path, "before": "present\n", "after": ""} for path in extra],
    }
    if module.check_mode:
        module.exit_json(**result)
    # A file that only lacks its mode is not sent again.
    right = {entry["dest"] for entry in stale if (befores[entry["dest"]] or ("",))[0] == entry["sha256"]}
    sent = [entry for entry in stale if "content" not in entry and entry["dest"] not in right]
    if sent and not module.params["archive"]:
        # Nothing is changed before everything is here.
        module.exit_json(changed=False, files=[], missing=[entry["dest"] for entry in sent])
    try:
        with contextlib.ExitStack() as stack:
            archive = stack.enter_context(tarfile.open(module.params["archive"])) if sent else None
            for entry in stale:
                if entry["dest"] in right:
                    os.chmod(entry["dest"], int(entry["mode"], 8))
                elif "content" in entry:
                    place(entry, io.BytesIO(entry["content"].encode()))
                else:
                    place(entry, archive.extractfile(entry["sha256"]))
        for path in extra:
            os.unlink(path)
    except (OSError, ValueError, KeyError, tarfile.TarError) as error:
        module.fail_json(msg="Files could not be placed: %s" % error, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
