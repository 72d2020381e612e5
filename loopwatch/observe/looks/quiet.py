"""Loops that wake nobody when they go on: what tells whether all of them wait still, while nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..loops.loop_state import LoopState

forks: list[None] = []
"""One for each fork that is under way in this process."""


class Quiet:
    """On the sampler's thread, but for ``before_fork``. ``until``: by the clock, how long nothing else is due."""

    def __init__(
        self, states: dict[int, LoopState], until: Callable[[], float], on_fault: Callable[[BaseException], None]
    ) -> None:
        self._states = states
        self.until = until
        self._on_fault = on_fault
        self._given: tuple[Any, ...] = ()

    def before_fork(self) -> None:
        """When this returns nobody is within libuv without the interpreter, until ``forks`` are over.

        Who asks holds a mutex of the loop's for a moment. A child that is forked then would find it held for good.
        """
        for gauge in self._given:
            gauge.take_back()

    def after_fork(self) -> None:
        """In the child: what was given may be in the hands of the thread that is not there, so it is left alone."""
        self._given = ()

    def all(self) -> list[LoopState]:
        return [state for state in list(self._states.values()) if not state.wakes_sampler]

    def gauges(self) -> tuple[Any, ...]:
        """What tells that they wait on: one of each that runs, or none at all where one has none. Never raises."""
        found: list[Any] = []
        try:
            for state in self.all():
                if state.ran < 0:
                    gauge = state.gauge()
                    if gauge is None:
                        break
                    found.append(gauge)
            else:
                self._given = tuple(found)
                if not forks:  # asked last: one that begins from here on takes back what is given
                    return self._given
        except Exception as error:
            self._on_fault(error)
        for gauge in found:  # what is set holds its loop
            gauge.take_back()
        return ()


__all__ = ["Quiet", "forks"]
