# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sends a host those files of a bundle that it lacks, all in one transfer; documented in the module of the same name."""

from __future__ import annotations

import os
import tarfile
import tempfile

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.cctv.pipeline.plugins.module_utils import bundle as bundles
from ansible_collections.cctv.pipeline.plugins.module_utils.placed_files import wanted

MODULE = "cctv.pipeline.bundle_files"


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(
            {
                "bundle": {"type": "path"},
                "files": {"type": "list", "elements": "dict", "required": True},
            }
        )[1]
        folder = os.path.expanduser(arguments["bundle"] or "")
        try:
            files, folders = wanted(arguments["files"], bundles.read(folder) if folder else None)
        except (bundles.BundleError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from error
        call = {"files": files, "exclusive": folders}
        result = self._execute_module(MODULE, module_args=call, task_vars=task_vars)
        if result.get("failed") or not result.get("missing"):
            return result
        missing = set(result["missing"])
        with tempfile.TemporaryDirectory(dir=constants.DEFAULT_LOCAL_TMP) as scratch:
            archive = os.path.join(scratch, "files.tar")
            with tarfile.open(archive, "w") as tar:
                for entry in files:
                    if entry["dest"] in missing:
                        tar.add(os.path.join(folder, entry["source"]), arcname=entry["sha256"], recursive=False)
            remote = self._connection._shell.join_path(self._make_tmp_path(), "files.tar")
            self._transfer_file(archive, remote)
            self._fixup_perms2([self._connection._shell.tmpdir, remote])
        call["archive"] = remote
        return self._execute_module(MODULE, module_args=call, task_vars=task_vars)
