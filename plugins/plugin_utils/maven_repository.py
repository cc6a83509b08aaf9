# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Maven repository that is taken when none is named: the one of community.general.maven_artifact."""

from __future__ import annotations

from ansible.plugins.loader import fragment_loader, module_loader
from ansible.utils.plugin_docs import get_docstring


def default_repository():
    """Return the default of maven_artifact's option repository_url, or None where that module is not installed."""
    found = module_loader.find_plugin_with_context("community.general.maven_artifact")
    if not found.resolved:
        return None
    documentation = get_docstring(
        found.plugin_resolved_path, fragment_loader, collection_name="community.general", plugin_type="module"
    )[0]
    return documentation["options"]["repository_url"].get("default")
