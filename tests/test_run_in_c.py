"""A handle run by the stopwatches does what it does in asyncio's own function: contexts, errors, tracebacks."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import pickle
import sys
import traceback
import weakref
from asyncio import events
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import pytest

from loopwatch.observe.step_codes import code_of_run
from loopwatch.observe.stopwatch.genuine import handle_shape
from loopwatch.observe.stopwatch.steps import QUICK
from loopwatch.testing import FakeClock
from tests.implementations import NAMES, accelerator, implementation

GENUINE = events.Handle._run
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="outside")


class Loop:
    """As much of a loop as a handle asks for; keeps what it is told of failures."""

    _loopwatch: Any

    def __init__(self, debug: bool = False) -> None:
        self.debug = debug
        self.failed: list[dict[str, Any]] = []
        self.seen: list[Any] = []

    def get_debug(self) -> bool:
        return self.debug

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.failed.append(context)
        self.seen.append(sys.exc_info()[1])  # what is being handled, for logging.exception and the like

    def _timer_handle_cancelled(self, handle: Any) -> None:
        pass


def run_in_c() -> Any:
    accelerated = accelerator()
    run = accelerated.make_run(GENUINE, lambda handle: pytest.fail("it has a stopwatch"), FakeClock())
    assert run.direct, accelerated.last.why_indirect
    return run


def run_in_python() -> Any:
    return implementation("python").make_run(GENUINE, lambda handle: pytest.fail("it has a stopwatch"), FakeClock())


Both = Callable[[Callable[[Any, Any], Any]], list[Any]]


@pytest.fixture(params=NAMES)
def both(request: pytest.FixtureRequest) -> Both:
    """What a scenario returns when it runs its handle with asyncio's own function, and with each of ours."""
    chosen = implementation(request.param)
    ours = run_in_c() if request.param == "c" else run_in_python()

    def both(scenario: Callable[[Any, Any], Any]) -> list[Any]:
        ended = []
        for run in (GENUINE, ours):
            loop = Loop()
            loop._loopwatch = chosen.Stopwatch()
            ended.append(scenario(loop, run))
        return ended

    return both


def names_of(error: BaseException) -> list[str]:
    """Of the frames in its traceback from the second on, but for loopwatch's."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    return [frame.name for frame in frames if "stopwatch" not in frame.filename]


def told(loop: Loop, handle: Any) -> list[Any]:
    """All that a loop's exception handler learns, with the traceback as a log shows it."""
    found = []
    for context, handled in zip(loop.failed, loop.seen, strict=True):
        error = context["exception"]
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        others = (repr(error.__context__), repr(error.__cause__), error.__suppress_context__)
        same = (context["handle"] is handle, handled is error)
        found.append((sorted(context), context["message"], shown, others, same, context.get("source_traceback")))
    return found


def fail_deep(depth: int = 3) -> None:
    if depth:
        fail_deep(depth - 1)
    raise LookupError("deep")


def fail_within() -> None:
    try:
        fail_deep(1)
    except LookupError:
        raise ValueError("while that was handled")  # noqa: B904


FAILURES: dict[str, Callable[..., None]] = {"deep": fail_deep, "within": fail_within, "in C": lambda: int("no")}  # type: ignore[dict-item]


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("debug", [False, True], ids=["plain", "debug"])
def test_what_fails_is_told_in_the_same_words(both: Both, failure: str, debug: bool) -> None:
    """Message, traceback (with asyncio's own frame), chained errors, source traceback, the error being handled."""

    def scenario(loop: Loop, run: Any) -> Any:
        loop.debug = debug
        handle = events.Handle(FAILURES[failure], (), loop)  # type: ignore[arg-type]
        assert run(handle) is None
        return told(loop, handle)

    genuine, ours = both(scenario)
    assert len(genuine) == 1
    assert "self._context.run(self._callback, *self._args)" in genuine[0][2]
    assert ours == genuine


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_what_ends_a_program_comes_out(both: Both, kind: type[BaseException]) -> None:
    """The very object, with the same traceback, and nobody is told."""

    def scenario(loop: Loop, run: Any) -> Any:
        error = kind("enough")

        def raise_it() -> None:
            raise error

        with pytest.raises(kind) as caught:
            run(events.Handle(raise_it, (), loop))  # type: ignore[arg-type]
        assert caught.value is error
        return names_of(error), loop.failed

    genuine, ours = both(scenario)
    assert ours == genuine == (["_run", "raise_it"], [])


def test_other_base_exceptions_are_told_like_any_error(both: Both) -> None:
    """``CancelledError`` and what derives from ``BaseException`` by itself do not end the loop."""

    class Odd(BaseException):
        pass

    def scenario(loop: Loop, run: Any) -> Any:
        for kind in (asyncio.CancelledError, GeneratorExit, Odd):
            run(events.Handle(raise_new, (kind,), loop))  # type: ignore[arg-type]
        return [(type(context["exception"]).__name__, context["message"]) for context in loop.failed]

    genuine, ours = both(scenario)
    assert ours == genuine
    assert len(genuine) == 3


def raise_new(kind: type[BaseException]) -> None:
    raise kind


def test_a_handler_that_raises_is_heard(both: Both) -> None:
    """What the loop's own ``call_exception_handler`` raises comes out of the step."""

    def scenario(loop: Loop, run: Any) -> Any:
        def worse(context: Any) -> None:
            raise OSError("worse")

        loop.call_exception_handler = worse  # type: ignore[method-assign]
        with pytest.raises(OSError, match="worse") as caught:
            run(events.Handle(fail_deep, (), loop))  # type: ignore[arg-type]
        return names_of(caught.value), repr(caught.value.__context__)

    genuine, ours = both(scenario)
    assert ours == genuine


def test_a_callback_runs_in_its_context(both: Both) -> None:
    """What it sets stays in there, and the context outside is the one before, also when it raises."""

    def scenario(loop: Loop, run: Any) -> Any:
        context = contextvars.copy_context()

        def inside(value: str, fails: bool) -> None:
            loop.seen.append(VARIABLE.get())
            VARIABLE.set(value)
            if fails:
                raise ValueError

        for value, fails in (("first", False), ("second", True), ("third", False)):
            run(events.Handle(inside, (value, fails), loop, context))  # type: ignore[arg-type]
            loop.seen.append(VARIABLE.get())
        return [each for each in loop.seen if isinstance(each, str)], context[VARIABLE]

    genuine, ours = both(scenario)
    assert ours == genuine == (["outside", "outside", "first", "outside", "second", "outside"], "third")


def test_a_context_that_is_entered_already_is_an_error(both: Both) -> None:
    """It is told in the same words, and the callback does not run."""

    def scenario(loop: Loop, run: Any) -> Any:
        context = contextvars.copy_context()
        handle = events.Handle(loop.seen.append, ("ran",), loop, context)  # type: ignore[arg-type]
        context.run(run, handle)
        (failed,) = loop.failed
        error = failed["exception"]
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert "ran" not in loop.seen
        return frames, type(error), failed["message"].partition(" at ")[0], "already entered" in str(error)

    genuine, ours = both(scenario)
    assert ours == genuine
    assert genuine[3]


def test_a_handle_may_be_cancelled_by_its_own_callback(both: Both) -> None:
    """Before it returns, and before it raises: what is told then names no callback, and the handle stays cancelled."""

    def scenario(loop: Loop, run: Any) -> Any:
        def cancel(fails: bool) -> None:
            handle.cancel()
            if fails:
                raise ValueError("after that")

        ended = []
        for fails in (False, True):
            handle = events.Handle(cancel, (fails,), loop)  # type: ignore[arg-type]
            run(handle)
            ended.append((handle._callback, handle._args, handle.cancelled(), handle._context is not None))  # type: ignore[attr-defined]
            assert type(handle._context) is contextvars.Context  # type: ignore[attr-defined]
        return ended, told(loop, handle)

    genuine, ours = both(scenario)
    assert ours == genuine
    assert genuine[0] == [(None, None, True, True)] * 2


def test_a_cancelled_handle_that_is_run_all_the_same_fails_the_same(both: Both) -> None:
    """The loop does not run it; who does gets what asyncio gives."""

    def scenario(loop: Loop, run: Any) -> Any:
        handle = events.Handle(print, (), loop)  # type: ignore[arg-type]
        handle.cancel()
        run(handle)
        return told(loop, handle)

    genuine, ours = both(scenario)
    assert ours == genuine
    assert len(genuine) == 1


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 7, 20])
def test_arguments_arrive(both: Both, count: int) -> None:
    """However many, for functions, bound methods, builtins and callables of other kinds."""

    class Taking:
        def __init__(self) -> None:
            self.got: list[Any] = []

        def method(self, *given: Any) -> None:
            self.got.append(given)

        def __call__(self, *given: Any) -> None:
            self.got.append(given)

    def scenario(loop: Loop, run: Any) -> Any:
        given, taking = tuple(range(count)), Taking()
        for callback in (taking.method, taking, lambda *given: taking.got.append(given)):
            run(events.Handle(callback, given, loop))  # type: ignore[arg-type]
        if count == 1:
            run(events.Handle(taking.got.append, given, loop))  # type: ignore[arg-type]
        return taking.got, loop.failed

    genuine, ours = both(scenario)
    assert ours == genuine
    assert ours[1] == []


def test_handles_of_every_kind_are_run(both: Both) -> None:
    """Timers, subclasses with slots of their own, with properties in place of slots, and what is no handle at all."""

    class Own(events.Handle):
        __slots__ = ("more",)

    class Shadowing(events.Handle):
        @property
        def _callback(self) -> Any:
            return lambda given: self._loop.seen.append("shadow")  # type: ignore[attr-defined]

        @_callback.setter
        def _callback(self, callback: Any) -> None:
            pass

    class NoHandle:
        _source_traceback = None
        _args = ("duck",)

        def __init__(self, loop: Loop) -> None:
            self._loop, self._callback, self._context = loop, loop.seen.append, contextvars.copy_context()

    def scenario(loop: Loop, run: Any) -> Any:
        add: Any = loop.seen.append
        given: Any = loop
        for handle in (
            events.Handle(add, ("plain",), given),
            events.TimerHandle(1.0, add, ("timer",), given),
            Own(add, ("own",), given),
            Shadowing(add, ("nothing",), given),
            NoHandle(loop),
            events.Handle(add, ["a list"], given),
        ):
            run(handle)
        return loop.seen, loop.failed

    genuine, ours = both(scenario)
    assert ours == genuine == (["plain", "timer", "own", "shadow", "duck", "a list"], [])


def test_a_wrong_call_is_a_type_error() -> None:
    """As for any function of one argument."""
    run = run_in_c()
    for wrong in (lambda: run(), lambda: run(1, 2), lambda: run(handle=1)):
        with pytest.raises(TypeError):
            wrong()


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))],
                         ids=["copy", "deepcopy", "pickle"])  # fmt: skip
def test_it_is_copied_as_a_function_is(copying: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name, so that what copies or pickles a class with all that is in it still can."""
    run = functools.update_wrapper(run_in_c(), GENUINE)
    monkeypatch.setattr(events.Handle, "_run", run)
    assert copying(events.Handle._run) is run


@pytest.mark.parametrize("name", ["__code__", "__globals__", "__defaults__", "__kwdefaults__", "__closure__"])
def test_it_tells_what_tools_ask_of_a_function(name: str) -> None:
    """As the one in Python that it calls where it must; it cannot be changed."""
    run = run_in_c()
    assert getattr(run, name) is getattr(run.reference, name)
    with pytest.raises(AttributeError):
        setattr(run, name, None)


def test_where_a_step_begins_is_told_by_the_code_of_the_one_in_python() -> None:
    """Its own has no frame."""
    run = run_in_c()
    assert code_of_run(run) == (run.reference.__code__,)
    assert code_of_run(len) == ()


def test_what_is_slow_is_told_with_the_handle() -> None:
    """And nothing is told of what is quick, up to the bound itself."""
    accelerated = accelerator()
    clock, slow = FakeClock(0.0), list[Any]()

    class Noted(accelerated.Stopwatch):  # type: ignore[misc, name-defined]
        def slow_step(self, handle: Any, now: float) -> None:
            slow.append((handle, now))

    loop = Loop()
    state = loop._loopwatch = Noted()
    run = accelerated.make_run(GENUINE, lambda handle: state, clock)
    handles = []
    for lasts in (0.0, QUICK, 2 * QUICK):
        state.mark = clock.now = 0.0
        handles.append(events.Handle(clock.advance, (lasts,), loop))  # type: ignore[arg-type]
        run(handles[-1])
    assert slow == [(handles[-1], 2 * QUICK)]
    assert state.quick == 2


def test_in_python_nothing_stands_between_it_and_the_callback() -> None:
    """Where the function is asyncio's own, and the handle of a known kind; otherwise that function is called."""

    class Own(events.Handle):
        @property
        def _callback(self) -> Any:
            return call

        @_callback.setter
        def _callback(self, callback: Any) -> None:
            pass

    found: list[CodeType] = []

    def call(*given: Any) -> None:
        found.append(sys._getframe(1).f_code)

    run, loop = run_in_python(), Loop()
    loop._loopwatch = implementation("python").Stopwatch()
    for kind in (events.Handle, Own):
        for count in range(3):
            run(kind(call, (None,) * count, loop))  # type: ignore[arg-type]
    assert found == [run.__code__] * 3 + [GENUINE.__code__] * 3


# --- what must not change ----------------------------------------------------------------------


def test_a_failed_step_leaves_no_more_than_asyncio_does(both: Both) -> None:
    """What is left for the collector is the same, object for object, and of what succeeds nothing is."""

    def scenario(loop: Loop, run: Any) -> Any:
        class Local:
            pass

        def fail() -> None:
            kept = Local()
            ends.append(weakref.ref(kept))
            raise ValueError

        ends: list[Any] = []
        gc.collect()
        run(events.Handle(lambda: None, (), loop))  # type: ignore[arg-type]
        clean = gc.collect()
        run(events.Handle(fail, (), loop))  # type: ignore[arg-type]
        loop.failed.clear()
        loop.seen.clear()
        loop._loopwatch.handle = None
        return clean, gc.collect(), ends[0]() is None

    genuine, ours = both(scenario)
    assert genuine[::2] == ours[::2] == (0, True)
    assert ours[1] - genuine[1] in (0, 1)  # in Python one frame, and no more, lies between it and the loop's


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_in_the_wrong_moment_loses_nothing_in_silence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something else is raised before the error of the callback could be: both are heard of, the handle is whole."""
    lost: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: lost.append(told.exc_value))

    def interrupt(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code is GENUINE.__code__:
            sys.settrace(None)
            raise KeyboardInterrupt
        return None

    def fail() -> None:
        sys.settrace(interrupt)
        raise ValueError("of the callback")

    loop = Loop()
    loop._loopwatch = implementation(name).Stopwatch()
    handle = events.Handle(fail, (), loop)  # type: ignore[arg-type]
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            (run_in_c() if name == "c" else run_in_python())(handle)
    finally:
        sys.settrace(None)
    if name == "python":  # where one is raised while the other is handled
        lost.append(caught.value.__context__)
    assert [str(error) for error in lost] == ["of the callback"]
    assert type(handle._context) is contextvars.Context  # type: ignore[attr-defined]
    assert handle._args == ()


def test_slots_are_taken_from_descriptors_only() -> None:
    """What is no slot of a handle, or of another type, is refused when the run is made."""
    module: Any = pytest.importorskip("loopwatch.observe.stopwatch._steps_c") if accelerator() else None
    shape = handle_shape()

    class Other:
        __slots__ = ("_loop",)

    def make(slots: Any, types: Any) -> Any:
        return module.make_run(print, print, print, None, 1.0, slots, types, True)

    assert make(*shape).direct == 1
    for wrong in (
        (vars(Other)["_loop"], *shape.slots[1:]),
        (vars(events.TimerHandle)["_when"], *shape.slots[1:]),
        (property(), *shape.slots[1:]),
        shape.slots[:3],
    ):
        with pytest.raises(TypeError):
            make(wrong, shape.types)
    for types in ((), (int,), (events.Handle, int), (events.Handle,) * 5):
        with pytest.raises(TypeError):
            make(shape.slots, types)


@pytest.fixture(autouse=True)
def _trace_is_off() -> Iterator[None]:
    before = sys.gettrace()
    yield
    assert sys.gettrace() is before
