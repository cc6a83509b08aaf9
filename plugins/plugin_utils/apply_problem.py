# Copyright: the cctv.pipeline contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what kubernetes.core.k8s says when it failed to a message that says what to do."""

from __future__ import annotations

import json
import re

from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_refusal import explain as explain_status
from ansible_collections.cctv.pipeline.plugins.module_utils.kubernetes_refusal import unreachable, unusable

UNREACHABLE = re.compile(
    r"Max retries exceeded|Connection refused|Failed to establish|NewConnectionError|ConnectTimeout|NameResolution"
    r"|SSLError|RemoteDisconnected|Connection aborted|No route to host"
)
# What urllib3 wraps around what happened, and where.
WRAPPED = re.compile(r"host='(?P<host>[^']*)', port='?(?P<port>\d+)'?.*?\(Caused by \w+\((?P<why>.*)\)\)", re.S)
UNUSABLE = re.compile(r"Could not create API client: (?P<why>.*)|(?P<other>Invalid kube-config .*)", re.S)


def explain(error, named="the kubeconfig"):
    """Return one message for the failure of a definition; ``named`` is how the kubeconfig was given.

    ``error`` is what the module returned for it: with a ``msg`` in which the server's own answer may stand.
    """
    # Of a module that ended by an exception, there is nothing else.
    raised = getattr(getattr(error.get("exception"), "event", None), "msg", "")
    message = str(error.get("msg") or error.get("error") or raised or error).strip()
    try:
        status, __ = json.JSONDecoder().raw_decode(message[message.index("{") :])
    except ValueError:
        status = {}
    if isinstance(status, dict) and status.get("kind") == "Status":
        return explain_status(status, named)
    bad = UNUSABLE.search(message)
    if bad:
        return unusable(named, (bad.group("why") or bad.group("other")).strip())
    if UNREACHABLE.search(message):
        wrapped = WRAPPED.search(message)
        if wrapped:
            server = "%s:%s" % (wrapped.group("host"), wrapped.group("port"))
            return unreachable(named, server, wrapped.group("why").strip("\"'"))
        return unreachable(named, "", message)
    return message
