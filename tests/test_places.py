"""Functions of ours in classes, and other tools' functions around, beneath and instead of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import pytest

from tests.chores import double
from tests.executing import SPAWN, Watched, target, watching

PATCHED = [(ThreadPoolExecutor, "submit"), (Future, "cancel"), (Executor, "__init_subclass__")]


def wrap(owner: type, name: str) -> Callable[[], None]:
    """Another tool's function goes around what stands there; returns what it does to go."""
    standing = vars(owner)[name]
    plain = getattr(standing, "__func__", standing)

    def theirs(*args: Any, **kwargs: Any) -> Any:
        return plain(*args, **kwargs)

    setattr(owner, name, classmethod(theirs) if isinstance(standing, classmethod) else theirs)
    return lambda: setattr(owner, name, standing)


@pytest.mark.parametrize("times", [1, 2])
def test_what_another_tool_has_kept_in_place_goes_when_it_is_free_again(times: int) -> None:
    """It wrapped ours, we were taken out, it put back what it had found: the next watch leaves all as it was."""
    before = {(owner, name): vars(owner).get(name) for owner, name in PATCHED}
    undo = []
    for _ in range(times):
        watched = Watched()
        watched.hook.install()
        undo += [wrap(owner, name) for owner, name in PATCHED]
        watched.hook.uninstall()
    for each in reversed(undo):
        each()
    watched = Watched()
    watched.hook.install()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(double, 1).result() == 2
        watched.job()
    watched.hook.uninstall()
    assert {(owner, name): vars(owner).get(name) for owner, name in PATCHED} == before
    assert list(watched.faults) == []


def test_what_was_left_behind_goes_with_the_watch_that_another_tool_has_torn_out() -> None:
    """It put back what it had found, which was a function of an earlier watch, while the next one was installed."""
    before = vars(ThreadPoolExecutor)["submit"]
    first, second = Watched(), Watched()
    first.hook.install()
    undo = wrap(ThreadPoolExecutor, "submit")
    first.hook.uninstall()
    second.hook.install()
    undo()
    second.hook.uninstall()
    assert vars(ThreadPoolExecutor)["submit"] is before


class Wrapper:
    """As tracing tools put in a class: an object, which passes on what it is bound to."""

    def __init__(self, wrapped: Any, bound_to: Any = None) -> None:
        self.__wrapped__, self.bound_to = wrapped, bound_to

    def __get__(self, instance: Any, owner: type) -> Wrapper:
        return Wrapper(self.__wrapped__.__get__(instance, owner), instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        seen.append(type(self.bound_to))
        return self.__wrapped__(*args, **kwargs)


seen: list[type] = []


class Inline(Executor):
    """Runs each job at once."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def cancel_it() -> None:
    assert Future[None]().cancel()


def submit_to(executor: Callable[[], Executor]) -> Callable[[], None]:
    def submit() -> None:
        with executor() as pool:
            assert pool.submit(double, 1).result() == 2

    return submit


@pytest.mark.parametrize(
    ("owner", "name", "use"),
    [
        (ThreadPoolExecutor, "submit", submit_to(ThreadPoolExecutor)),
        (ProcessPoolExecutor, "submit", submit_to(functools.partial(ProcessPoolExecutor, 1, SPAWN))),
        (Future, "cancel", cancel_it),
        (Inline, "submit", submit_to(Inline)),
    ],
    ids=["threads", "processes", "cancel", "another executor"],
)
def test_a_wrapper_that_came_before_us_is_told_its_object(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, use: Callable[[], None]
) -> None:
    """It is bound before it is called, as it would be without us, and stands alone again when we go."""
    wrapper = Wrapper(vars(owner)[name])
    monkeypatch.setattr(owner, name, wrapper)
    with watching() as watched:
        seen.clear()
        use()
        assert seen == [owner]
        assert [target(job) for job in watched.jobs(int(name == "submit"))] == ["double"] * (name == "submit")
    assert vars(owner)[name] is wrapper


def test_what_is_no_method_is_called_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callable object in a class is given no object, with us and without."""

    class Double:
        def __call__(self, number: int) -> int:
            return 2 * number

    monkeypatch.setattr(Future, "cancel", Double())
    with watching():
        assert Future().cancel(2) == 4  # type: ignore[call-arg]
