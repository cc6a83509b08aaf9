# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files of a bundle, and which texts, belong where on a host."""

from __future__ import annotations

import hashlib
import os


def wanted(entries, bundle):
    """Return what to place, as ([{dest, sha256, mode, source or content}, ...], [folders that hold nothing else]).

    :raises ValueError: an entry names what the bundle does not have, or both or neither of ``src`` and ``content``.
    """
    files = []
    folders = []
    for entry in entries:
        dest, src, content = entry["dest"], entry.get("src"), entry.get("content")
        if not os.path.isabs(dest):
            raise ValueError("dest=%s: expected an absolute path" % dest)
        if (src is None) == (content is None):
            raise ValueError("dest=%s: expected either src or content" % dest)
        if content is not None:
            digest = hashlib.sha256(content.encode()).hexdigest()
            files.append({"dest": dest, "content": content, "sha256": digest, "mode": entry.get("mode", "0644")})
            continue
        if bundle is None:
            raise ValueError("src=%s: expected a bundle to take it from" % src)
        names = [name for name in sorted(bundle.files) if name.startswith(src)] if src.endswith("/") else [src]
        if not names or names[0] not in bundle.files:
            raise ValueError("src=%s: the bundle has no such file" % src)
        for name in names:
            digest, executable = bundle.files[name]
            files.append(
                {
                    "dest": os.path.join(dest, name[len(src) :]) if src.endswith("/") else dest,
                    "source": name,
                    "sha256": digest,
                    "mode": entry.get("mode") or ("0755" if executable else "0644"),
                }
            )
        if entry.get("exclusive"):
            folders.append(dest)
    return files, folders
