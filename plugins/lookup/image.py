# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: image
short_description: Name the image of one of the collection's services
version_added: 1.0.0
description:
  - The tag is a hash of everything that the image is made of, so a changed source is a new image, and an unchanged one is not.
author: The cctv.pipeline contributors (@cctv-pipeline)
options:
  _terms:
    description: Folders of C(services/), such as V(video).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Name an image
  ansible.builtin.debug:
    msg: "{{ lookup('cctv.pipeline.image', 'video') }}"
"""

RETURN = r"""
_raw:
  description: Names such as V(cctv/video:0123456789ab).
  type: list
  elements: str
"""

import functools
import hashlib
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

SERVICES = Path(__file__).resolve().parents[2] / "services"
SHARED = ("common", "pyproject.toml", "requirements.txt", "requirements-data.txt")


@functools.lru_cache(maxsize=None)
def digest(service):
    """Return a hash over the service's files and those that all services share."""
    if not (SERVICES / service).is_dir():
        raise AnsibleError("services/%s does not exist; expected a folder of services/" % service)
    # What is not written in Python shares nothing with the services that are.
    shared = SHARED if any((SERVICES / service).glob("cctv_*")) else ()
    total = hashlib.sha256()
    for name in (service, *shared):
        root = SERVICES / name
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(
                    b"%s\0%s\0" % (str(path.relative_to(SERVICES)).encode(), hashlib.sha256(path.read_bytes()).digest())
                )
    return total.hexdigest()[:12]


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        return ["cctv/%s:%s" % (service, digest(service)) for service in terms]
