"""The way from events to reporters: a bounded queue and one daemon thread, so that no reporter can do harm."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Generic, TypeVar

from .._compat import clocks
from ..settings import name_of

_log = logging.getLogger("loopwatch")
_ON_LOOP = 0.1
_T = TypeVar("_T")


class Delivery(Generic[_T]):
    """Gives every event to every reporter, in order, on its own thread.

    A reporter that raises is named once in the log and dropped; when reporters are slower than the
    events, the newest events are dropped and counted in ``dropped``, which the log is told of when it
    begins and when it is over. A reporter that has a method
    ``finish()`` is told by it, on the same thread, that no more events come. All methods may be
    called from any thread, reporters' calls included. ``what`` the events are is for the log and the thread's name.
    """

    def __init__(self, reporters: Sequence[Callable[[_T], object]], size: int, what: str = "events") -> None:
        self.reporters = list(reporters)
        self.within: Callable[[_T], AbstractContextManager[object]] = lambda event: nullcontext()
        """What to be in while a reporter is called. Must not raise."""
        self.dropped = 0
        self._size = size
        self._what = what
        self._queue: deque[_T] = deque()
        self._queued = 0
        self._given = 0
        self._told = 0
        self._changed = threading.Condition()  # guards all of the above; never held while a reporter runs
        self._thread: threading.Thread | None = None
        self._last: threading.Thread | None = None  # the thread that was stopped with everything given

    def start(self) -> None:
        """Begin to deliver, also what was queued before; does nothing while it already does."""
        with self._changed:
            if self._thread is not None:
                return
            name = "loopwatch-reporter" if self._what == "events" else f"loopwatch-{self._what}"
            thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread = thread
            self._given = self._queued - len(self._queue)
            try:
                thread.start()
            except BaseException:
                self._thread = None
                raise

    def put(self, event: _T) -> None:
        """Queue an event, or drop it when ``size`` events wait already; never waits for a reporter."""
        with self._changed:
            if len(self._queue) >= self._size:
                self.dropped += 1
                return
            self._queue.append(event)
            self._queued += 1
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until every event queued so far was given to the reporters; False when that took too long.

        Where waiting is of no use (nothing delivers, or a reporter asks) it tells at once whether none waits.
        """
        deadline = clocks.monotonic() + timeout
        with self._changed:
            thread, last = self._thread, self._queued
            if thread is None or thread is threading.current_thread():
                return not self._queue
            while self._given < last:
                # Not Condition.wait_for: its clock is one that tests freeze.
                left = min(deadline - clocks.monotonic(), threading.TIMEOUT_MAX)
                if self._thread is not thread or left <= 0:
                    return False
                self._changed.wait(left)
            return True

    def stop(self, timeout: float) -> None:
        """Deliver what is queued, for at most ``timeout`` seconds, and end the thread; the rest is dropped."""
        deadline = clocks.monotonic() + timeout
        given = self.flush(timeout)
        with self._changed:
            thread, self._thread = self._thread, None
            self._last = thread if given or thread is threading.current_thread() else None
            self.dropped += len(self._queue)
            self._queue.clear()
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(min(max(0.0, deadline - clocks.monotonic()), threading.TIMEOUT_MAX))
        if self.dropped > self._told:
            self._tell_dropped("in all, since its reporters were slower than its events")

    def stop_on_any_thread(self, timeout: float) -> None:
        """The same, but where it is called inside a running loop that is held for a tenth of a second at most.

        What is left is waited for by a thread of its own, which the interpreter does not leave behind at its exit.
        """
        if asyncio._get_running_loop() is not None and not self.flush(min(timeout, _ON_LOOP)):
            try:
                threading.Thread(target=self.stop, args=(timeout,), name="loopwatch-last-events").start()
                return
            except RuntimeError:  # no thread can be had: then nobody else can wait
                pass
        self.stop(timeout)

    def after_fork(self) -> None:
        """In the child nothing of the parent's is delivered or counted, and the thread is gone."""
        self._changed = threading.Condition()
        self._queue.clear()
        self._queued = self._given = self.dropped = self._told = 0
        self._thread = self._last = None

    def _run(self) -> None:
        # A thread that was stopped, or that goes on in a forked child, finds that it is not the one.
        me = threading.current_thread()
        while (event := self._next(me)) is not None:
            self._give(event)
            if self.dropped and not self._told:
                self._tell_dropped("so far: its reporters are slower than its events, or queue_size is too small")
            with self._changed:
                if self._thread is me:
                    self._given += 1
                    self._changed.notify_all()
        if self._last is me:
            self._finish()

    def _next(self, me: threading.Thread) -> _T | None:
        """Waits for the next event; None when the thread ``me`` has no more to give."""
        with self._changed:
            while self._thread is me and not self._queue:
                self._changed.wait()
            return self._queue.popleft() if self._thread is me else None

    def _give(self, event: _T) -> None:
        for reporter in list(self.reporters):
            try:
                with self.within(event):
                    reporter(event)
            except BaseException:  # sys.exit() in a reporter must not end the delivery to the others
                self._drop(reporter)

    def _finish(self) -> None:
        for reporter in list(self.reporters):
            try:
                finish = getattr(reporter, "finish", None)
                if callable(finish):
                    finish()
            except BaseException:
                self._drop(reporter)

    def _drop(self, reporter: Callable[[_T], object]) -> None:
        # By identity: reporters may be equal without being the same.
        self.reporters = [other for other in self.reporters if other is not reporter]
        _tell(logging.ERROR, "loopwatch: the reporter %s raised and gets no more events.", name_of(reporter), True)

    def _tell_dropped(self, how: str) -> None:
        self._told = self.dropped
        _tell(logging.WARNING, f"loopwatch has dropped %d {self._what} {how}.", self._told)


def _tell(level: int, text: str, what: object, with_error: bool = False) -> None:
    try:
        _log.log(level, text, what, exc_info=with_error)
    except Exception:  # a handler of the application's log raised: there is nobody left to tell
        return
