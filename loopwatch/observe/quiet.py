"""Loops that wake nobody when they go on: what tells whether all of them wait still, while nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .loop_state import LoopState


class Quiet:
    """On the sampler's thread. ``until``: by the clock, how long nothing else needs to be looked at."""

    def __init__(
        self, states: dict[int, LoopState], until: Callable[[], float], on_fault: Callable[[BaseException], None]
    ) -> None:
        self._states = states
        self.until = until
        self._on_fault = on_fault

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
                return tuple(found)
        except Exception as error:
            self._on_fault(error)
        for gauge in found:  # what is set holds its loop
            gauge.take_back()
        return ()


__all__ = ["Quiet"]
