"""How many frames a Predict call may have: all that wait, but no more than the model can answer for in time."""

from __future__ import annotations

WEIGHT = 0.2
"""Of the newest call in the estimate of what a frame costs."""


class BatchSize:
    """Learns from calls what a frame costs; ``target_s`` is how long a call should take at most.

    A call that was given up counts as one that took as long as it was waited for: batches become small at once when a
    model slows down, and grow again while it answers.
    """

    def __init__(self, largest: int, target_s: float) -> None:
        self._largest = largest
        self._target_s = target_s
        self._frame_s = 0.0

    def answered(self, frames: int, seconds: float) -> None:
        """A call with so many frames was answered after so long."""
        cost = seconds / frames
        self._frame_s += (cost - self._frame_s) * (WEIGHT if self._frame_s else 1.0)

    def given_up(self, frames: int, seconds: float) -> None:
        """A call was not answered in time."""
        self._frame_s = max(self._frame_s, seconds / frames)

    @property
    def now(self) -> int:
        """Frames that a call may have now; at least one."""
        return max(1, min(self._largest, int(self._target_s / self._frame_s) if self._frame_s else self._largest))
