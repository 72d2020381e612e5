"""How a loop turns: by whose code, what waits in it, and where it polls, with our ``select`` put there."""

from __future__ import annotations

import contextlib
import os
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any

_HOME = BaseEventLoop.get_debug.__code__.co_filename
_PACKAGE = os.path.dirname(_HOME)
_ABSENT = object()
_COUNTED = 1000
_is_cancelled = attrgetter("_cancelled")


def turns_plainly(loop: Any) -> bool:
    """Whether the loop turns by asyncio's own code (some tools and some loops put theirs in its place)."""
    code = getattr(getattr(loop, "_run_once", None), "__code__", None)  # a method has its function's
    return code is not None and code.co_filename == _HOME


def begins_seen(loop: Any) -> bool:
    """Whether a loop that runs has begun in ``BaseEventLoop.run_forever``, as far as its class tells."""
    function = type(loop).run_forever
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code is not None and os.path.dirname(code.co_filename) == _PACKAGE and bool(loop.is_running())


def waiting(loop: Any) -> int:
    """How many callbacks and due timers wait in the loop; exact on its own thread."""
    return ready(loop) + due(loop)


def ready(loop: Any) -> int:
    """How many callbacks are ready in the loop, looking for cancelled ones among a bounded number of them.

    No bytecode is run for each: other threads would come in between, and it must not keep what they let go of.
    """
    queue: Sequence[Any] = getattr(loop, "_ready", ())
    cancelled: int = sum(map(_is_cancelled, islice(queue, _COUNTED)))
    return len(queue) - cancelled


def due(loop: Any) -> int:
    """How many of the loop's timers are due; exact on its own thread."""
    return sum(not timer._cancelled for _, timer in due_timers(loop))


def due_timers(loop: Any) -> Iterator[tuple[float, Any]]:
    """The loop's timers that are due, cancelled ones too, and for how many seconds; a bounded number of them."""
    heap = getattr(loop, "_scheduled", None)
    if not heap:
        return
    now, looked = loop.time(), 0
    places = [0]
    while places and looked < _COUNTED:
        place = places.pop()
        if place < len(heap) and heap[place]._when <= now:
            looked += 1
            yield now - heap[place]._when, heap[place]
            places += (2 * place + 1, 2 * place + 2)


def selector_of(loop: Any) -> Any:
    """The loop's selector (or Windows proactor) if its ``select`` can be wrapped, else None."""
    selector = getattr(loop, "_selector", None)
    kind = type(selector)
    return selector if kind.__dictoffset__ and callable(getattr(kind, "select", None)) else None


class Tap:
    """Our function around the ``select`` of one selector.

    Neither here nor elsewhere is the ``__dict__`` of a loop or selector asked for: from then on the
    interpreter would have to keep a real one, and all attributes of the object would be slower.
    """

    __slots__ = ("_before", "_make", "_over", "_wrapper", "selector")

    def __init__(self, selector: Any, make: Callable[[Callable[[Any], Any]], Any]) -> None:
        self.selector = selector
        self._make = make
        self._before: Any = _ABSENT
        self._wrapper: Any = None
        self._over = False

    def put(self) -> None:
        """Put it in place; not for long if another thread takes it out meanwhile."""
        inner = self.selector.select
        self._before = _ABSENT if _is_of_class(self.selector, inner) else inner
        self._wrapper = self._make(inner)
        self._wrapper.tap = self
        self.selector.select = self._wrapper
        if self._over:
            self._remove()

    def in_place(self, selector: Any) -> bool:
        """Whether it stands, outermost, on the selector given."""
        return selector is self.selector and selector.select is self._wrapper

    def take_out(self) -> None:
        """Leave the selector as it was. Where another tool stands around us, ours stays and does nothing."""
        self._over = True
        self._remove()

    def _remove(self) -> None:
        let_go = getattr(self._wrapper, "let_go", None)
        if let_go is not None:
            let_go()
        if self.selector.select is not self._wrapper:
            return
        self._wrapper = None
        before = self._before
        while (beneath := getattr(before, "tap", None)) is not None and beneath._over:  # that could not go before
            before = beneath._before
        if before is not _ABSENT:
            self.selector.select = before
            return
        with contextlib.suppress(AttributeError):  # another thread was faster
            del self.selector.select


def make_bounded_select(state: Any, inner: Callable[[Any], Any], alarm: Any, clock: Callable[[], float]) -> Any:
    """Like ``make_select`` of the stopwatch, but each poll is bounded by its own two readings of the clock."""
    watching = True

    def select(timeout: Any = None) -> Any:
        if not watching:
            return inner(timeout)
        pending = state.begin_poll(clock())
        try:
            if pending:
                events = inner(0)
                state.counted(events)
                if events or timeout == 0:
                    return events
            return inner(timeout)
        finally:
            state.end_poll(clock())
            if alarm.asleep:
                alarm.wake()

    def let_go() -> None:
        nonlocal watching
        watching = False

    select.let_go = let_go  # type: ignore[attr-defined]
    return select


def _is_of_class(selector: Any, select: Any) -> bool:
    """Whether it is what the class of the selector has, bound or not, and nothing put into the selector itself."""
    of_class = getattr(type(selector), "select", None)
    if select is of_class:
        return True
    return getattr(select, "__self__", None) is selector and getattr(select, "__func__", of_class) is of_class


def replaced(tap: Tap | None, loop: Any) -> bool:
    """Whether the loop has another selector than the one that was tapped, or that has another ``select``."""
    return tap is not None and not tap.in_place(getattr(loop, "_selector", None))
