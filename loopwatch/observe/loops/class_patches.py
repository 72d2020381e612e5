"""Our functions in asyncio's classes: put in place, proven to be called, taken out again.

``asyncio.events.Handle._run`` runs every step of every loop in every thread, also of loops made later;
in ``BaseEventLoop.run_forever`` a loop begins and stops to run. A loop of any other make has to call
``asyncio._set_running_loop`` when it begins: that is how it is met.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import sys
from asyncio import base_events, events
from collections.abc import Callable, Iterator
from types import CodeType, ModuleType
from typing import Any, NamedTuple, Protocol

from ... import _compat
from ..guard import theirs
from ..places import caller_of
from ..step_codes import STDLIB, code_of_run
from ..stopwatch.steps import Stopwatch, make_run

_KEPT = 8
"""Functions of ours that are remembered as being under those of other tools."""


_BEGINS = "_set_running_loop"


class Watcher(Protocol):
    """What our functions tell of. None of these may raise an error of its own; see ``guard.py`` for those of others."""

    def adopt(self, handle: Any) -> Stopwatch: ...
    def enter(self, loop: Any) -> Any: ...
    def leave(self, entered: Any) -> None: ...
    def meet(self, loop: Any) -> None: ...


class _Discard(Stopwatch):
    """Takes the ticks of handles that nobody watches, keeping nothing."""

    __slots__ = ()

    @property
    def handle(self) -> None:
        return None

    @handle.setter
    def handle(self, handle: Any) -> None:
        pass


DISCARD = _Discard()


class _Ours(NamedTuple):
    """A function of ours and the one that it calls; ``let_go`` makes it pass straight through, ``take_up`` not."""

    function: Any
    before: Any
    let_go: Callable[[], None]
    take_up: Callable[[], None]


class _Place:
    """One attribute of a class, or module, in which a function of ours stands.

    When another tool has put its function around ours since, ours cannot be taken out: it stays in
    the chain and passes straight through, and the next install uses it again, or takes it out.
    """

    def __init__(self, owner: Callable[[], Any], name: str, make: Callable[[Any], Any]) -> None:
        self._owner = owner
        self._name = name
        self._make = make
        self._left: list[_Ours] = []  # what may still stand somewhere in the chain, the latest last
        self.ours: Any = None
        """The function that is in use."""

    def put(self, ticks: Callable[[], bool]) -> None:
        """Use one of ours that is still called, as ``ticks`` proves, or put a new one around what stands there."""
        for left in reversed(self._left):
            self.ours = left.function
            left.take_up()
            if ticks():
                return
            left.let_go()
        self._uncover()
        before = self.standing()
        made = self._make(before)
        let_go, take_up = made.let_go, made.take_up  # what it wraps may have others by these names
        self.ours = functools.update_wrapper(made, before)
        self._left = [*self._left[1 - _KEPT :], _Ours(self.ours, before, let_go, take_up)]
        setattr(self._owner(), self._name, self.ours)

    def take_out(self) -> None:
        """Leave the class as it was, where no other tool stands around us."""
        for left in self._left:
            left.let_go()
        self._uncover()
        self.ours = None

    def standing(self) -> Any:
        """What the class has now."""
        return vars(self._owner())[self._name]

    def _uncover(self) -> None:
        """Take out what stands outermost and is ours, now that nobody uses it; also what an earlier watch has left."""
        while (left := next((each for each in self._left if each.function is self.standing()), None)) is not None:
            setattr(self._owner(), self._name, left.before)
            self._left.remove(left)


class ClassPatches:
    """All of our functions. Only one watcher is told at a time."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None
        self._clock: Callable[[], float] = _compat.clocks.monotonic
        self._proven: tuple[Any, Any, bool] | None = None
        self._run = _Place(lambda: events.Handle, "_run", self._make_run)
        self._forever = _Place(lambda: base_events.BaseEventLoop, "run_forever", self._make_forever)
        self._begins = [
            _Place(lambda: events, _BEGINS, _make_set_running_loop),
            _Place(lambda: asyncio, _BEGINS, _make_set_running_loop),
        ]
        self._copies: list[_Place] = []
        self.told_by: set[str] = set()
        """Packages that had taken ``_set_running_loop`` for themselves before, and now have ours."""

    def put(self, watcher: Watcher, clock: Callable[[], float]) -> None:
        """Let ``watcher`` be told. Functions of ours that still stand, under another tool's, serve again."""
        self.watcher = watcher
        self._clock = clock
        self._run.put(self.run_ticks)
        self._forever.put(self.forever_ticks)
        holders = _holders(events._set_running_loop)
        self._copies = [_Place(lambda at=each: at, _BEGINS, _make_set_running_loop) for each in holders]  # type: ignore[misc]
        self.told_by = {str(getattr(each, "__name__", "")).partition(".")[0] for each in holders}
        for place in (*self._begins, *self._copies):
            place.put(lambda: False)  # those left under another tool's function still serve: to be met twice is no harm

    def take_out(self) -> None:
        """Leave the classes as they were, where no other tool stands around us. Nobody is told from here on."""
        self.watcher = self._proven = None
        self._run.take_out()
        self._forever.take_out()
        for place in (*self._begins, *self._copies):
            place.take_out()
        self._copies, self.told_by = [], set()

    @property
    def outermost(self) -> bool:
        """Whether no other tool's function stands around ours, or instead of it."""
        return self._run.standing() is self._run.ours

    def step_codes(self) -> tuple[CodeType, ...]:
        """The code objects that mark, in a stack, where a step begins."""
        return STDLIB if self._run.ours is None else (*STDLIB, *code_of_run(self._run.ours))

    # --- proof ---

    def run_ticks(self) -> bool:
        """Run one handle of our own, and see whether it was timed once. Raises nothing, whatever stands around ours."""
        with _unopened_loop() as loop:
            loop._loopwatch = state = Stopwatch()
            ran: list[int] = []
            try:
                events.Handle(ran.append, (1,), loop)._run()
            except Exception as error:
                if theirs(error):
                    raise
        return ran == [1] and state.steps_run() == 1

    def still_ticks(self) -> bool:
        """The same, asked once of whatever stands there: other tools are called by it, for nothing."""
        standing, ours = self._run.standing(), self._run.ours
        proven = self._proven
        if proven is None or proven[0] is not standing or proven[1] is not ours:
            proven = self._proven = (standing, ours, self.run_ticks())
        return proven[2]

    def forever_ticks(self) -> bool:
        """Let a loop that is closed begin to run, and see whether that was told. The watcher must be in its place."""
        with _unopened_loop() as loop:
            loop.close()
            with contextlib.suppress(RuntimeError):
                loop.run_forever()
        return bool(loop.told)

    # --- our functions ---

    def _adopt(self, handle: Any) -> Stopwatch:
        watcher = self.watcher
        return DISCARD if watcher is None else watcher.adopt(handle)

    def _make_run(self, previous: Any) -> Any:
        return make_run(caller_of(previous), self._adopt, self._clock)

    def _make_forever(self, standing: Any) -> Any:
        previous: Callable[[Any], None] = caller_of(standing)
        watching = True

        def run_forever(self: Any) -> None:
            watcher = patches.watcher if watching else None
            if watcher is None:
                return previous(self)
            if type(self) is _Unopened:
                self.told = True
                return None
            entered = watcher.enter(self)
            try:
                return previous(self)
            finally:
                watcher.leave(entered)

        def let_go() -> None:
            nonlocal watching
            watching = False

        def take_up() -> None:
            nonlocal watching
            watching = True

        run_forever.let_go = let_go  # type: ignore[attr-defined]
        run_forever.take_up = take_up  # type: ignore[attr-defined]
        return run_forever


def _holders(function: Any) -> list[ModuleType]:
    """The modules that have imported it by name, as those of loops do; asyncio's own have places of their own."""
    found = []
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and module is not events and module is not asyncio:
            names = object.__getattribute__(module, "__dict__")  # a lazy module would begin to load
            if names.get(_BEGINS) is function:
                found.append(module)
    return found


def _make_set_running_loop(previous: Callable[[Any], None]) -> Any:
    """Some loops keep what they have found here for good, so it has no switch of its own: it serves every watch."""

    def _set_running_loop(loop: Any) -> None:
        watcher = patches.watcher
        if watcher is not None and loop is not None:
            watcher.meet(loop)
        previous(loop)

    _set_running_loop.let_go = _set_running_loop.take_up = lambda: None  # type: ignore[attr-defined]
    return _set_running_loop


class _Unopened(base_events.BaseEventLoop):
    """A loop to prove with: it has no selector, so it opens nothing."""

    told = False

    def _run_forever_cleanup(self) -> None:
        """Python 3.13.0 cleans up after a run that it refused, and would end that of the loop we are in."""


@contextlib.contextmanager
def _unopened_loop() -> Iterator[Any]:
    loop = _Unopened()
    try:
        yield loop
    finally:
        loop.close()


patches = ClassPatches()
