# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads a bundle on the controller; documented in the module of the same name."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.cctv.pipeline.plugins.module_utils import bundle as bundles


class ActionModule(ActionBase):
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            {"path": {"type": "path", "required": True}, "verify": {"type": "bool", "default": False}}
        )[1]
        folder = arguments["path"]
        try:
            bundle = bundles.read(folder)
        except bundles.BundleError as error:
            return {"changed": False, "bundle": {}, "problems": [str(error)]}
        problems = bundles.problems(folder, bundle) if arguments["verify"] else []
        found = {
            name: getattr(bundle, name)
            for name in ("version", "architecture", "debian", "kubernetes_version", "images", "versions")
        }
        found["folders"] = sorted({name.split("/", 1)[0] for name in bundle.files})
        return {"changed": False, "bundle": found, "problems": problems}
