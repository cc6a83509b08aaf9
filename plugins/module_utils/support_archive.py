# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""An archive of redacted texts, for somebody who is to help and cannot look for himself."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time

LARGEST = 1024 * 1024
"""Bytes of one text that are kept, the last ones."""


class Archive:
    """Texts by name; ``problems`` are told among them: what cannot be had is no reason to have nothing."""

    def __init__(self):
        self.files = {}
        self.problems = []

    def add(self, name, content):
        """Add a text, or anything that JSON can say."""
        if not isinstance(content, str):
            content = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        self.files[name] = content

    def attempt(self, name, get, errors):
        """Add what ``get`` returns, or note why it does not."""
        try:
            self.add(name, get())
        except errors as error:
            self.problems.append("%s: %s" % (name, error))

    def write(self, path, redact):
        """Write all that was added, redacted, into a new file that its owner alone may read."""
        self.add("problems.txt", "".join(problem + "\n" for problem in self.problems) or "none\n")
        folder = os.path.basename(path).split(".")[0]
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                for name, content in sorted(self.files.items()):
                    # Before it is cut, as half a secret is not known for one.
                    data = redact(content).encode("utf-8", "replace")[-LARGEST:]
                    entry = tarfile.TarInfo("%s/%s" % (folder, name))
                    entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                    archive.addfile(entry, io.BytesIO(data))


def last_lines(text, count):
    """Return the last lines of a text."""
    return "".join(text.splitlines(True)[-count:])
