"""Detection, from nothing to nothing, as an unprivileged user: what is selected is found, whatever breaks."""

from __future__ import annotations

import checkout
from user import User


def test_detection(user: User) -> None:
    source = checkout.copy_to(user.folder / "checkout")
    user.own(source)
    user.run("molecule", "test", "--scenario-name", "detection", cwd=source, log="molecule-detection.log")
    assert user.processes() == []
