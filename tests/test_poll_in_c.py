"""A poll that does not wait, asked by the stopwatches, answers and fails as the selector's own ``select`` does."""

from __future__ import annotations

import select as system
import selectors
import socket
import traceback
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

from loopwatch.observe.stopwatch.genuine import epoll_types, look_into_select
from loopwatch.testing import FakeClock
from tests.implementations import NAMES, implementation

if not hasattr(selectors, "EpollSelector"):
    pytest.skip("this platform has no epoll", allow_module_level=True)

BOTH = selectors.EVENT_READ | selectors.EVENT_WRITE


class Alarm:
    asleep = False


@pytest.fixture
def selector() -> Iterator[selectors.EpollSelector]:
    with selectors.EpollSelector() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture(autouse=True)
def _looked_into() -> None:
    """As an install does; a select that another tool puts there later is another one."""
    look_into_select()


@pytest.fixture(params=NAMES)
def ours(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Puts the function of each stopwatch around a method ``select``."""
    chosen = implementation(request.param)

    def put_around(method: Any) -> Any:
        state = chosen.Stopwatch()
        state.mark = state.turn = 0.0
        return chosen.make_select(state, method, Alarm(), FakeClock(0.0))

    return put_around


@pytest.fixture
def both(ours: Callable[[Any], Any], selector: selectors.EpollSelector) -> Callable[[], list[Any]]:
    """What each makes of it: the answer, or the error with its traceback from the genuine ``select`` inward."""

    def both() -> list[Any]:
        ended = []
        for asked in (selector.select, ours(selector.select)):
            try:
                ended.append(asked(0))
            except Exception as error:
                lines = [each for each in traceback.extract_tb(error.__traceback__) if "stopwatch" not in each.filename]
                ended.append([type(error), str(error), *((line.name, line.lineno) for line in lines[1:])])
        return ended

    return both


def by_number(ready: Any) -> int:
    number: int = ready[0].fd
    return number


def test_asyncios_selector_is_polled_in_c(selector: selectors.EpollSelector) -> None:
    """Its ``select`` is the genuine one, on every version that we know."""
    assert epoll_types(selector.select) == (selectors.EpollSelector, system.epoll)


def test_nothing_ready_is_a_new_empty_list(
    selector: selectors.EpollSelector, pair: Any, ours: Callable[[Any], Any]
) -> None:
    """With and without files."""
    select = ours(selector.select)
    assert select(0) == []
    selector.register(pair[0], selectors.EVENT_READ)
    first, second = select(0), select(0.0)
    assert first == second == []
    assert first is not second


@pytest.mark.parametrize("events", [selectors.EVENT_READ, selectors.EVENT_WRITE, BOTH])
@pytest.mark.parametrize("sent", [b"", b"x"], ids=["nothing", "sent"])
@pytest.mark.parametrize("hung_up", [False, True], ids=["open", "hung up"])
def test_what_is_ready_is_told_the_same(
    selector: selectors.EpollSelector, pair: Any, events: int, sent: bytes, hung_up: bool, both: Callable[[], list[Any]]
) -> None:
    """Readable, writable, hung up: the very keys, with the same events."""
    near, far = pair
    key = selector.register(near, events, data="ours")
    if sent:
        far.send(sent)
    if hung_up:
        far.close()
    genuine, found = both()
    assert sorted(found, key=by_number) == sorted(genuine, key=by_number)
    assert all(each[0] is key for each in found if each[0].fileobj is near)


def test_as_many_are_told_as_are_registered(selector: selectors.EpollSelector, both: Callable[[], list[Any]]) -> None:
    """Not fewer, not more."""
    pairs = [socket.socketpair() for _ in range(20)]
    try:
        for near, _ in pairs:
            selector.register(near, selectors.EVENT_WRITE)
        genuine, found = both()
        assert len(found) == 20
        assert sorted(found, key=by_number) == sorted(genuine, key=by_number)
    finally:
        for near, far in pairs:
            near.close()
            far.close()


def test_a_file_that_it_does_not_know_is_passed_over(
    selector: selectors.EpollSelector, pair: Any, both: Callable[[], list[Any]]
) -> None:
    """As where another thread has just unregistered it."""
    selector._selector.register(pair[0].fileno(), system.EPOLLOUT)  # type: ignore[attr-defined]
    assert both() == [[], []]


def test_a_closed_selector_fails_the_same(selector: selectors.EpollSelector, both: Callable[[], list[Any]]) -> None:
    """The same error from the same line of ``select``."""
    selector._selector.close()  # type: ignore[attr-defined]
    genuine, found = both()
    assert found == genuine
    assert genuine[0] is ValueError
    assert genuine[2][0] == "select"


def test_an_interrupted_call_is_an_empty_answer(selector: selectors.EpollSelector, ours: Callable[[Any], Any]) -> None:
    """What is raised in the poll is judged by the genuine function."""
    select = ours(selector.select)

    class Interrupted:
        def poll(self, *given: Any) -> Any:
            raise InterruptedError

    selector._selector, before = Interrupted(), selector._selector  # type: ignore[attr-defined]
    try:
        assert select(0) == []
    finally:
        selector._selector = before  # type: ignore[attr-defined]


class Own(selectors.EpollSelector):
    """A selector of the application's."""


def _changed(method: Any) -> Any:
    function = FunctionType(method.__func__.__code__, {**method.__func__.__globals__}, "select", (None,))
    return function.__get__(method.__self__)


STRANGERS: dict[str, Callable[[Any], Any]] = {
    "a function": lambda selector: lambda timeout: selector.select(timeout),
    "a subclass": lambda selector: Own().select,
    "another selector": lambda selector: selectors.PollSelector().select,
    "other globals": lambda selector: _changed(selector.select),
    "unbound": lambda selector: selectors.EpollSelector.select,
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_any_other_select_is_asked_itself(selector: selectors.EpollSelector, stranger: str) -> None:
    """Whatever is not the genuine method of that very class is called."""
    assert epoll_types(STRANGERS[stranger](selector)) is None


def test_a_patched_class_is_asked_itself(
    selector: selectors.EpollSelector, monkeypatch: pytest.MonkeyPatch, ours: Callable[[Any], Any]
) -> None:
    """Another tool has put its own there before us."""
    calls: list[Any] = []
    genuine = selectors.EpollSelector.select

    def select(self: Any, timeout: Any = None) -> Any:
        calls.append(timeout)
        return genuine(self, timeout)

    monkeypatch.setattr(selectors.EpollSelector, "select", select)
    assert ours(selector.select)(0) == []
    assert calls == [0]
