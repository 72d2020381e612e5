"""What the hooks keep of a run of a loop, from its beginning, or from the install, to its end."""

from __future__ import annotations

from typing import NamedTuple

from .loop_state import LoopState


class Entered(NamedTuple):
    """A run of a loop, and the loop that it interrupts."""

    state: LoopState
    outer: LoopState | None


class Arrival:
    """A loop that ran when the watch was installed, until its first step or poll after that.

    ``in_step``: it was in a step; ``sure``: that step was still under way when all was in place, so
    its end cannot be missed.
    """

    __slots__ = ("in_step", "state", "sure")

    def __init__(self, state: LoopState, in_step: bool) -> None:
        self.state = state
        self.in_step = in_step
        self.sure = False
