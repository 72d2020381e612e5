"""What is there while the application has no watch of its own, and makes way for that: with tests, a watch for them.

It is no ``current()`` one: the application must not take it for its own.
"""

from __future__ import annotations


class StandIn:
    """This one is nobody. Its methods are called by any thread and must not raise; ``watch`` is a ``Watch``."""

    def make_way(self, watch: object) -> None:
        """``watch`` is about to be installed."""

    def returns(self, watch: object) -> None:
        """``watch`` is gone, or could not be installed."""

    def after_fork(self) -> None:
        """In the child."""


_nobody = StandIn()
_here = _nobody


def who() -> StandIn:
    """Who stands in."""
    return _here


def take_post(stand_in: StandIn | None) -> None:
    """From here on that one stands in; None: nobody."""
    global _here
    _here = stand_in or _nobody
