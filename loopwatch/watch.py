"""The one composer: puts the hooks in place, joins what they see to its meaning, its count and its telling."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from . import _compat, ending, stand_in
from ._version import __version__
from .accounts import Accounts
from .errors import AlreadyInstalled, NotInstalled, SelfCheckFailed
from .explain.backlog import explain_backlog
from .explain.culprit import OwnCode
from .explain.stall import explain_stall
from .facts import Congestion, Overrun
from .model import Coverage, Event, Snapshot
from .observe.hooks import Hooks
from .observe.jobs.job import faults
from .observe.looks.evidence import untold
from .observe.looks.pools import PoolWatch
from .observe.looks.quiet import forks
from .observe.looks.sampler import Alarm, Sampler
from .observe.loops.loop_state import Held, Outlets
from .observe.loops.spans import Tracing
from .observe.stopwatch.steps import IMPLEMENTATION, how_timed
from .observe.uvloops import calls
from .record.coverage import coverage
from .record.delivery import Delivery
from .record.recorder import BRIEF
from .report.exporters import Exporters
from .report.notices import Notices
from .report.spec import prepare_reporters
from .settings import Settings
from .traces import Traces

if TYPE_CHECKING:
    from .report.prometheus import MetricsServer

_UNSET: Final[Any] = type("_Unset", (), {"__repr__": lambda self: "default"})()
_JUDGE_EVERY = 0.5
_PATIENCE = 2.0
_lock = threading.RLock()  # a signal handler may uninstall
_current: Watch | None = None
_fork_hooked = False


def install(
    *,
    threshold: float = _UNSET,
    executor_wait: float = _UNSET,
    reporters: Sequence[Callable[[Any], object] | str] | None = _UNSET,
    prometheus: Any = _UNSET,
    opentelemetry: Any = _UNSET,
    own_code: Sequence[str] = _UNSET,
    repeat_interval: float = _UNSET,
    queue_size: int = _UNSET,
    max_sites: int = _UNSET,
    exact_uvloop: bool | str = _UNSET,
) -> Watch:
    """Begin to watch every asyncio loop and executor of this process; call it once, at start-up.

    Before a loop exists or inside a running coroutine, from any thread. Each setting may come from
    its ``LOOPWATCH_*`` environment variable instead; an argument wins.

    :param threshold: seconds a step or a turn may hold a loop (0.05).
    :param executor_wait: seconds a job may wait for a worker (0.05).
    :param reporters: callables, each given one event (on loopwatch's own thread), or texts that name
        one (``log``, ``jsonl:PATH``, ``package.module:callable``); None: the log reporter.
    :param prometheus: True, False, a ``CollectorRegistry``, or "auto": the default registry if
        ``prometheus_client`` can be imported.
    :param opentelemetry: True, False, a ``MeterProvider`` (spans go to the process' own ``TracerProvider``), or
        "auto": the providers that the process has set, or sets later, if the SDK is there.
    :param own_code: modules that are your own code even where they are installed as packages.
    :param repeat_interval: seconds in which the log says an equal finding only once; 0 says all.
    :param queue_size: events that may wait for slow reporters before they are dropped and counted.
    :param max_sites: values of the ``site`` label before the rest is called ``other``.
    :param exact_uvloop: whether callbacks given to uvloop are timed one by one; "auto": if that is done in C.
    :raises SettingsError: a value that a setting cannot have; nothing is installed then.
    :raises AlreadyInstalled: a watch with other settings is installed. With equal ones it is returned.
    :raises MissingExtra: ``prometheus=True`` and ``prometheus_client`` is not installed, or likewise OpenTelemetry.
    :raises SelfCheckFailed: a hook did not take; nothing is installed then.
    """
    global _current
    given = {name: value for name, value in locals().items() if value is not _UNSET}
    settings = Settings.resolve(given, os.environ)
    with _lock:
        if _current is not None:
            if _current.settings == settings:
                _current._installs += 1
                return _current
            raise AlreadyInstalled(_current.settings.describe(), settings.describe())
        watch = Watch(settings)
        stand_in.who().make_way(watch)
        watch._install()
        _current = watch
        _hook_fork()
        return watch


def uninstall() -> None:
    """Take the installed watch out again; does nothing when there is none."""
    watch = _current
    if watch is not None:
        watch.uninstall()


def current() -> Watch | None:
    """The installed watch, or None."""
    return _current


def _hook_fork() -> None:
    global _fork_hooked
    if not _fork_hooked and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_before_fork, after_in_parent=_forked, after_in_child=_after_fork)
        _fork_hooked = True


def _before_fork() -> None:
    forks.append(None)
    if _current is not None:
        _current._sampler.before_fork()


def _forked() -> None:
    if forks:  # it may have begun before we were told of forks
        forks.pop()


def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    forks.clear()
    _compat.collect_again()
    if _current is not None:
        _current._after_fork()
    stand_in.who().after_fork()


class Watch:
    """The running observer of a process, made by ``install()``. Usable as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._own = OwnCode(settings.own_code)
        self._alarm = Alarm()
        self._held: deque[Held] = deque(maxlen=10_000)
        self._faults = faults
        self._faults.clear()
        self._refused: deque[Exception] = deque(maxlen=8)
        self._notices = Notices()
        self._covered: tuple[Coverage, ...] = ()
        self._drain_lock = threading.RLock()
        self._judged_at = 0.0
        self._installed = False
        self._installs = 1
        self.listeners: list[Callable[[Event, float, str | None], object]] = []
        """Are told of each stall and backlog at once, when it began by the monotonic clock, and who left its task."""
        self._exporters = Exporters(settings, lambda: self._numbers(offloads=False), IMPLEMENTATION)
        self._tracing = Tracing(self._faults)
        outlets = Outlets(self._alarm, self._held, self._faults, lambda state: None, tracing=self._tracing)
        exact = calls.IN_C if settings.exact_uvloop == "auto" else bool(settings.exact_uvloop)
        self._hooks = Hooks(settings.threshold, min(BRIEF, settings.executor_wait), outlets, exact)
        self._loops, self._executors = self._hooks.loops, self._hooks.executors
        self._pools = PoolWatch(self._executors, settings.executor_wait, self._on_backlog, self._tracing)
        self._sampler = Sampler(
            settings.threshold,
            self._loops,
            self._pools,
            self._hooks.collections,
            self._alarm,
            self._held,
            self._on_overrun,
            self._drain,
            self._faults.append,
        )
        self._make_reporters = prepare_reporters(settings)
        self._delivery: Delivery[Event] = Delivery((), settings.queue_size)
        self._traces = Traces(self._tracing, self._own, settings.queue_size)
        self._delivery.within = self._traces.within
        self._accounts = Accounts(settings.executor_wait, self._own, self._hooks, self._pools, self._traces.job)

    # --- in and out ---

    def _install(self) -> None:
        try:
            self._start(self._sampler)
            self._untold = untold()
            self._hooks.install()
            self._installed = True
            self._exporters.register()
            self._delivery.reporters = self._make_reporters()  # last: what is refused leaves no file behind
            self._start(self._delivery)
            self._start(self._exporters)
        except BaseException:
            self._take_out()
            self._sampler.stop()
            self._traces.stop(0.0)
            self._delivery.stop(0.0)
            stand_in.who().returns(self)
            raise
        atexit.register(self.uninstall)
        self._alarm.wake()
        self._notices.begin(__version__, self._coverage(), self.settings)

    def _start_threads(self) -> None:
        self._start(self._sampler)
        self._start(self._delivery)
        self._start(self._exporters)
        self._start(self._traces)

    def _start(self, part: Sampler | Delivery[Event] | Exporters | Traces) -> None:
        try:
            part.start()
        except RuntimeError as refused:  # no thread can be had
            raise SelfCheckFailed("threads", str(refused), "Let the process have two more threads.") from refused

    def _take_out(self) -> None:
        self._installed = False
        self._hooks.uninstall()
        self._exporters.close()

    def uninstall(self) -> None:
        """Stop watching and put every hook back; events so far are delivered (it takes two seconds at most).

        Inside a coroutine slow reporters hold the loop for a tenth of a second; then a thread goes on to wait for
        them. Idempotent, from any thread; also done when the interpreter exits. Where another tool refuses to let a
        loop's thread wait, the hooks are out all the same, and a thread does the rest.
        """
        global _current
        refused: Exception | None = None
        with _lock:
            if not self._installed:
                return
            self._accounts.retire_loops()
            self._coverage()  # for the last time: of hooks that are gone nothing can be said
            try:
                self._take_out()
            except Exception as error:
                refused = error
            if _current is self:
                _current = None
        atexit.unregister(self.uninstall)
        fault = ending.end(self._end, self._end_after, refused)
        if fault is not None:
            self._faults.append(fault)

    def _end_after(self, refused: Exception) -> None:
        self._notices.refused(refused)
        self._exporters.close()
        self._end()

    def _end(self) -> None:
        """End every thread, and tell what was not told yet. May be called again where it has raised."""
        deadline = _compat.clocks.monotonic() + _PATIENCE
        self._sampler.stop(_PATIENCE / 2)
        self._hooks.anyio.uninstall()  # once more: the sampler may have been about to put its hook in place
        self._sampler.tick()
        self._pools.close()
        self._drain(judge=True)
        self._exporters.finish()
        self._traces.stop(max(0.0, deadline - _compat.clocks.monotonic()) / 2)
        self._delivery.stop_on_any_thread(max(0.0, deadline - _compat.clocks.monotonic()))
        stand_in.who().returns(self)

    def __enter__(self) -> Watch:
        if not self._installed:  # the block would run unwatched, and nobody would know
            raise NotInstalled("a with block")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Uninstall, unless an ``install()`` that has got this same watch still has it."""
        self._installs -= 1
        if self._installs <= 0:
            self.uninstall()

    def _after_fork(self) -> None:
        self._drain_lock = threading.RLock()
        self._accounts.begin()
        self._alarm.after_fork()
        self._alarm.start = self._start_threads
        self._hooks.after_fork()
        self._sampler.after_fork()
        self._delivery.after_fork()
        self._traces.after_fork()
        self._exporters.after_fork()

    # --- what the sampler hands on ---

    def _on_overrun(self, overrun: Overrun) -> None:
        stall = explain_stall(overrun, self._own)
        if stall.cause == "debugger":
            return
        if not stall.in_progress:
            self._accounts.stall(stall)
            self._traces.stall(stall, overrun)
        self._tell(stall, overrun.started, overrun.handle.left_by)

    def _on_backlog(self, congestion: Congestion) -> None:
        self._tell(explain_backlog(congestion, self._own), congestion.started)

    def _tell(self, event: Event, began: float, left_by: str | None = None) -> None:
        for listener in self.listeners:
            listener(event, began, left_by)
        self._delivery.put(event)

    def _drain(self, judge: bool = False) -> None:
        with self._drain_lock:
            self._hooks.refresh()
            now = _compat.clocks.monotonic()
            self._accounts.count(self._executors.ended(), now)
            if judge or now - self._judged_at >= _JUDGE_EVERY:
                self._judged_at = now
                self._accounts.judge(self._delivery.put)
        # With no lock held: what handles the log is the application's, and exporters have locks of their own.
        self._exporters.refresh()
        self._traces.begin(self._exporters.tracer)
        self._notices.tell(self._faults, self._refused)
        loops, executors = self._loops.kinds.news(at_once=judge), self._executors.foreign.news()
        if loops or executors:
            self._notices.unseen(self._coverage())

    # --- for the user ---

    def flush(self, timeout: float = 1.0) -> bool:
        """Return once every event so far has reached the reporters; False if that took longer than ``timeout``.

        Blocks the calling thread for some milliseconds at least: on a loop, call it at the end. What has ended
        in the turn of a loop in another thread is an event when that turn ends. Where another tool does not let a
        loop's thread wait it returns False, and a warning says so; the events reach the reporters all the same.
        """
        return ending.waited(partial(self._flush, timeout), self._refused.append)

    def _flush(self, timeout: float) -> bool:
        deadline = _compat.clocks.monotonic() + timeout
        if self._installed:
            self._loops.hand_over()
            if not self._sampler.look_now(timeout):
                return False
            self._drain(judge=True)
        each = (self._delivery, self._traces)
        return all(part.flush(max(0.0, deadline - _compat.clocks.monotonic())) for part in each)

    def snapshot(self) -> Snapshot:
        """The immutable numbers so far. From any thread; never waits for a loop."""
        return self._numbers(offloads=True)

    def _numbers(self, offloads: bool) -> Snapshot:
        if self._installed:
            self._drain()
        dropped = sum(each.dropped for each in (self._delivery, self._traces, self._executors, faults))
        return self._accounts.snapshot(self._sampler, self._coverage(), dropped, offloads)

    def serve_metrics(self, port: int, addr: str = "127.0.0.1") -> MetricsServer:
        """Serve the Prometheus metrics from a thread of their own, so that they can be scraped while a loop hangs.

        ``port`` 0 takes a free one (see ``.port`` of what is returned). Ends with ``uninstall()`` or ``.close()``.

        :raises NotInstalled: after ``uninstall()``.
        :raises MissingExtra: ``prometheus_client`` is not installed.
        :raises SettingsError: ``port`` is no number of a port.
        :raises OSError: the address is taken, or is none.
        """
        if not self._installed:
            raise NotInstalled("serve_metrics()")
        return self._exporters.serve(port, addr)

    def _coverage(self) -> tuple[Coverage, ...]:
        loops = self._loops
        if not self._installed:
            return self._covered
        self._covered = coverage(
            timed=how_timed(),
            covered_up=loops.covered_up,
            blind=loops.blind,
            partly=loops.partly,
            pools=self._executors.kinds,
            executors=dict(self._executors.foreign.met),
            anyio=self._hooks.anyio.seen,
            anyio_late=self._hooks.anyio.late,
            modules=sys.modules,
            untold=self._untold,
        )
        return self._covered


__all__ = ["Watch", "current", "install", "uninstall"]
