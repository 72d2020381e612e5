"""The one watch that all tests of a process share, and its way out of the application's."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

from .. import stand_in
from .. import watch as watches
from ..errors import LoopwatchError
from ..model import Event
from ..report.notices import Notices
from ..settings import Settings
from ..watch import Watch
from .slowest import Slowest
from .terms import Terms

Ear = Callable[[Event, float, str | None], object]
"""Is told of an event, as the listeners of a ``Watch`` are; on any thread."""


class _Silent(Notices):
    """A watch that nobody has asked for says nothing in the application's log; its own faults are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.faults = 0

    def begin(self, *args: Any, **more: Any) -> None: ...

    def unseen(self, *args: Any, **more: Any) -> None: ...

    def not_awaited(self, error: BaseException) -> None: ...

    def fault(self, error: BaseException) -> None:
        self.faults += 1


class Post(stand_in.StandIn):
    """Keeps a watch in place for whoever wants one, each on their own terms. From any thread.

    It has the smallest threshold that is wanted. Where the application installs its own watch, this one
    goes, and listens to that one until it has gone.
    """

    def __init__(self) -> None:
        self.watch: Watch | None = None
        """The watch that is in place: ours, or the application's."""
        self.ours = False
        self.ears: list[Ear] = []
        self.on_change: list[Callable[[Watch], object]] = []
        """Are told of each watch that comes into place."""
        self.slowest: Slowest | None = None
        """Is told of the steps that are no overruns, from the next watch of ours on."""
        self.failure = ""
        """Why no watch is in place though one is wanted."""
        self._wanted: dict[Hashable, tuple[Terms, tuple[str, ...]]] = {}
        self._lock = threading.RLock()

    def want(self, who: Hashable, terms: Terms | None, own_code: tuple[str, ...] = ()) -> None:
        """Have a watch in place on these terms from here on; None: ``who`` wants none any more."""
        with watches._lock, self._lock:
            self._wanted.pop(who, None)
            if terms is not None:
                self._wanted[who] = terms, own_code
            self._adjust()

    def _adjust(self) -> None:
        theirs = watches.current()
        stand_in.take_post(self if self._wanted else None)
        if theirs is not None:
            if self.watch is not theirs:
                self._leave()
                self._follow(theirs)
            if not self._wanted:
                self._leave()
        elif not self._wanted:
            self._leave()
        else:
            settings = self._settings()
            if self.watch is None or not self.ours or self.watch.settings != settings:
                self._leave()
                self._enter(settings)

    def _settings(self) -> Settings:
        terms = [each for each, _ in self._wanted.values()]
        own_code = dict.fromkeys(name for _, names in self._wanted.values() for name in names)
        given = {
            "threshold": min(each.threshold for each in terms),
            "executor_wait": min(each.executor_wait for each in terms),
            "own_code": tuple(own_code),
            "reporters": (),
            "prometheus": False,
            "opentelemetry": False,  # it is the tested application's
        }
        return Settings.resolve(given, {})

    def _enter(self, settings: Settings) -> None:
        self.failure = ""
        watch = Watch(settings)
        watch._notices = _Silent()
        watch._loops.outlets = watch._loops.outlets._replace(slowest=self.slowest)
        self._follow(watch)
        self.ours = True
        try:
            watch._install()
        except BaseException:
            self.watch, self.ours = None, False
            raise
        watches._hook_fork()

    def _follow(self, watch: Watch) -> None:
        self.watch, self.ours = watch, False
        watch.listeners.append(self._hear)
        for told in list(self.on_change):
            told(watch)

    def _leave(self) -> None:
        watch, ours = self.watch, self.ours
        if watch is None:
            return
        if ours:
            watch.uninstall()  # tells what there is to tell, so before it is let go
        else:
            watch.listeners = [ear for ear in watch.listeners if ear != self._hear]
        self.watch, self.ours = None, False

    def _hear(self, event: Event, began: float, left_by: str | None) -> None:
        for ear in list(self.ears):
            ear(event, began, left_by)

    def tasks(self) -> frozenset[int]:
        """The ids of the tasks that there are; none where no watch is in place."""
        watch = self.watch
        return frozenset() if watch is None else watch._accounts.tasks()

    # --- what the application does ---

    def make_way(self, watch: object) -> None:
        with self._lock:
            if watch is self.watch or not isinstance(watch, Watch):
                return
            self._leave()
            self._follow(watch)

    def returns(self, watch: object) -> None:
        with watches._lock, self._lock:
            if watch is not self.watch or self.ours:
                return
            self.watch = None
            try:
                self._adjust()
            except LoopwatchError as refused:  # it is the application that is on its way out: whoever wants us is told
                self.failure = str(refused)

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        if self.watch is not None and self.ours:
            self.watch._after_fork()


post = Post()
