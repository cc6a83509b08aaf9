# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
name: image
short_description: Name the image of one of the collection's services
version_added: 1.0.0
description:
  - The tag is a hash of everything that the image is made of, so a changed source is a new image, and an unchanged one is not.
  - The variable C(image_registry), such as V(registry.example.org/site), is put before the name.
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
from ansible_collections.cctv.pipeline.plugins.plugin_utils.runtime import Settings

COLLECTION = Path(__file__).resolve().parents[2]
SERVICES = COLLECTION / "services"
SHARED = tuple("services/" + name for name in ("common", "pyproject.toml", "requirements.txt", "requirements-data.txt"))
BUNDLE = "roles/bundle/"
# What the bundle makes the images of, and those that they are based on.
DEFINED = BUNDLE + "vars/main/services.yml"
PYTHON = tuple(BUNDLE + "files/images/" + name for name in ("python", "spark", "tensorflow"))
JAVA = (BUNDLE + "files/images/java",)


def _shared(service):
    """Return what the service shares with others written in the same language."""
    folder, module = SERVICES / service, BUNDLE + "files/go/" + service
    shared = SHARED + PYTHON if any(folder.glob("cctv_*")) else ()
    if (folder / "maven.lock.yml").exists():
        shared += JAVA
    return shared + ((module,) if (COLLECTION / module).exists() else ())


@functools.lru_cache(maxsize=None)
def digest(service):
    """Return a hash over the service's files and those that all services share."""
    if not (SERVICES / service).is_dir():
        raise AnsibleError("services/%s does not exist; expected a folder of services/" % service)
    total = hashlib.sha256()
    for name in ("services/" + service, DEFINED, *_shared(service)):
        root = COLLECTION / name
        for path in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(
                    b"%s\0%s\0"
                    % (str(path.relative_to(COLLECTION)).encode(), hashlib.sha256(path.read_bytes()).digest())
                )
    return total.hexdigest()[:12]


class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        registry = Settings(variables, self._templar.template).get("image_registry", "")
        return ["%scctv/%s:%s" % (registry and registry + "/", service, digest(service)) for service in terms]
