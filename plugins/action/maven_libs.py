# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Gives the module the default repository of community.general.maven_artifact, which only the controller has."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible_collections.cctv.pipeline.plugins.plugin_utils.maven_repository import default_repository


class ActionModule(ActionBase):
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not arguments.get("repository_url"):
            arguments["repository_url"] = default_repository()
        return self._execute_module("cctv.pipeline.maven_libs", module_args=arguments, task_vars=task_vars)
