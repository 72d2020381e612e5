"""Functions of ours in classes, and other tools' functions around, beneath and instead of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.executing import Watched, double

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
