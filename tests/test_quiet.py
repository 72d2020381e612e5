"""What tells of loops without the interpreter is given for no longer than nobody forks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from loopwatch.observe.looks.quiet import Quiet, forks


class Loop:
    """The state of a loop of uvloop that waits, and what tells of it: ``given`` while that may be asked."""

    wakes_sampler = False
    ran = -1.0
    given = False

    def gauge(self) -> Any:
        self.given = True
        return self

    def take_back(self) -> None:
        self.given = False


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def quiet(loop: Loop) -> Iterator[Quiet]:
    found: list[BaseException] = []
    yield Quiet({1: loop}, lambda: 0.0, found.append)  # type: ignore[dict-item]
    forks.clear()
    assert found == []


def test_a_fork_takes_back_what_is_given(quiet: Quiet, loop: Loop) -> None:
    """From whatever thread, while the sampler dozes."""
    assert quiet.gauges() == (loop,) and loop.given
    forks.append(None)
    quiet.before_fork()
    assert not loop.given


def test_nothing_is_given_before_all_forks_are_over(quiet: Quiet, loop: Loop) -> None:
    """Several threads may fork at a time."""
    forks.extend((None, None))
    for _ in range(2):
        assert quiet.gauges() == () and not loop.given
        forks.pop()
    assert quiet.gauges() == (loop,) and loop.given


def test_the_child_leaves_alone_what_its_parent_had_given(quiet: Quiet, loop: Loop) -> None:
    """The thread that may hold it is not there: to take it back would last for good."""
    quiet.gauges()
    quiet.after_fork()
    quiet.before_fork()
    assert loop.given
