"""The supervisor's XML-RPC interface on its socket, and the files that the local runtime shares with its prober."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast
from xmlrpc.client import ServerProxy

from supervisor.xmlrpc import SupervisorTransport


def connect(state: Path) -> Any:
    """Return the supervisor's ``supervisor`` namespace; raises OSError at the first call when it is away."""
    transport = SupervisorTransport(None, None, f"unix://{state}/supervisor.sock")
    return cast(Any, ServerProxy("http://localhost", transport=transport)).supervisor


def write_json(path: Path, content: Any) -> None:
    """Replace ``path`` at once, readable by its owner only."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(temporary, path)
