"""The clocks tick, whoever freezes time."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch._compat import _unfreezable_wall, clocks

LIBRARIES = ("freezegun", "time_machine")
EACH_LIBRARY = pytest.mark.parametrize(
    "library", [pytest.param(name, marks=pytest.mark.needs(name)) for name in LIBRARIES]
)


def frozen(library: str) -> Any:
    """Time stands still on a day long ago."""
    if library == "freezegun":
        import freezegun

        return freezegun.freeze_time("2000-01-01")
    import time_machine

    return time_machine.travel("2000-01-01", tick=False)


@EACH_LIBRARY
def test_frozen_time_does_not_disturb_the_clocks(library: str) -> None:
    """Durations go on, CPU time goes on, and the time of day is the true one."""
    wall, monotonic, cpu = clocks.wall(), clocks.monotonic(), clocks.thread_cpu()
    with frozen(library):
        assert time.time() < 1e9  # it is frozen
        end = clocks.monotonic() + 0.05
        while clocks.monotonic() < end:  # would never end
            pass
        passed = clocks.monotonic() - monotonic
        assert clocks.wall() - wall == pytest.approx(passed, abs=0.05)
        assert (clocks.thread_cpu() or 0) > (cpu or 0)
        assert clocks.process_cpu() > 0


@EACH_LIBRARY
def test_the_clocks_tick_also_where_loopwatch_is_first_imported_in_frozen_time(library: str) -> None:
    """A test suite may import the application, and loopwatch with it, while time stands still."""
    freeze = {
        "freezegun": "import freezegun; freezegun.freeze_time('2000-01-01').start()",
        "time_machine": "import time_machine; time_machine.travel('2000-01-01', tick=False).start()",
    }
    script = textwrap.dedent(
        f"""
        import time
        {freeze[library]}
        assert time.time() < 1e9
        from loopwatch._compat import clocks
        first = clocks.monotonic()
        sum(range(1_000_000))
        print(clocks.monotonic() - first, clocks.wall())
        """
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    passed, wall = map(float, told.stdout.split())
    assert 0.001 < passed < 30
    assert abs(wall - time.time()) < 60


def test_the_time_of_day_is_that_of_the_machine() -> None:
    """To a few milliseconds."""
    for _ in range(5):
        before, told, after = time.time(), clocks.wall(), time.time()
        assert before - 0.05 < told < after + 0.05


@pytest.mark.parametrize("offset", [0, 37])
def test_the_offset_of_atomic_time_is_taken_out(offset: int) -> None:
    """Machines that know the leap seconds have it, others have none."""
    readings = {11: 1_700_000_000.257 + offset, 5: 1_700_000_000.248}
    wall = _unfreezable_wall(SimpleNamespace(clock_gettime=readings.__getitem__, CLOCK_TAI=11, time=None))
    assert wall() == pytest.approx(1_700_000_000.257, abs=1e-6)


def test_where_atomic_time_is_not_told_the_usual_time_is_used() -> None:
    """On other platforms, and in sandboxes."""

    def refuse(_: int) -> float:
        raise OSError(22, "Invalid argument")

    for module in (
        SimpleNamespace(time=time.time),
        SimpleNamespace(time=time.time, clock_gettime=time.clock_gettime),
        SimpleNamespace(time=time.time, clock_gettime=refuse, CLOCK_TAI=11),
    ):
        assert _unfreezable_wall(module) is time.time


def test_the_clocks_are_copies_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is patched into ``time`` does not reach them."""
    monkeypatch.setattr(time, "perf_counter", lambda: -1.0)
    monkeypatch.setattr(time, "clock_gettime", lambda _: -1.0)
    monkeypatch.setattr(time, "thread_time", lambda: -1.0)
    assert clocks.monotonic() > 0 and clocks.wall() > 1e9 and clocks.thread_cpu() != -1
    fresh = _compat._Clocks()
    assert fresh.monotonic() > 0 and fresh.wall() > 1e9


def test_a_time_module_that_cannot_be_copied_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Better clocks that can be frozen than none."""
    monkeypatch.setattr(time, "__spec__", None)
    assert _compat._pristine_time() is time
