"""Whose code it was: imports, libraries with and without own code around them, and turns of many callbacks."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Stall
from loopwatch.testing import RecordingReporter
from tests.differences import Difference, told, within
from tests.holding import HELD, WARM, burn, held_for, in_a_step, line, longest, on_a_free_host, watching

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch


# --- imports -----------------------------------------------------------------------------------


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, in which modules may be written; they are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def installed(modules: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed libraries, on the path too."""
    folder = modules / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_an_import_is_told_as_the_import_of_the_module(
    watch: loopwatch.Watch, events: RecordingReporter, modules: Path
) -> None:
    """The import line is charged, not the import system and not what the module does in it."""
    (modules / "slow_to_import.py").write_text(f"import time\ntime.sleep({HELD})\n")

    def view() -> None:
        import slow_to_import  # type: ignore[import-not-found] # noqa: F401 # held: import

    in_a_step(view)
    stall = longest(events)
    assert held_for(stall, HELD)
    assert (stall.cause, stall.evidence["module"]) == ("import", "slow_to_import")
    assert stall.culprit is not None and stall.culprit.line == line("import", __file__)
    assert "slow_to_import" in stall.remedy


def test_an_import_that_computes_is_an_import_too(
    watch: loopwatch.Watch, events: RecordingReporter, modules: Path
) -> None:
    """The outermost module is named: it is the one that is asked for."""
    (modules / "heavy_part.py").write_text(
        f"import time\nend = time.thread_time() + {HELD}\nwhile time.thread_time() < end:\n    sum(range(100))\n"
    )
    (modules / "heavy_package.py").write_text("import heavy_part\n")

    def view() -> None:
        __import__("heavy_package")  # held: dynamic import

    def attempt() -> None:
        for name in ("heavy_package", "heavy_part"):
            sys.modules.pop(name, None)
        in_a_step(view)

    stall = on_a_free_host(events, attempt)
    assert (stall.cause, stall.evidence["module"]) == ("import", "heavy_package")
    assert stall.culprit is not None and stall.culprit.line == line("dynamic import", __file__)


def test_a_library_that_imports_late_is_not_charged_while_own_code_called_it(
    watch: loopwatch.Watch, events: RecordingReporter, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The own line that set it off is."""
    folder = installed(modules, monkeypatch)
    (folder / "lazy_library.py").write_text("def use():\n    import slow_backend\n")
    (folder / "slow_backend.py").write_text(f"import time\ntime.sleep({HELD})\n")
    import lazy_library  # type: ignore[import-not-found]

    def view() -> None:
        lazy_library.use()  # held: lazy import

    in_a_step(view)
    stall = longest(events)
    assert (stall.cause, stall.evidence["module"]) == ("import", "slow_backend")
    assert stall.culprit is not None and stall.culprit.line == line("lazy import", __file__)


# --- libraries ---------------------------------------------------------------------------------


def test_without_own_code_the_outermost_library_frame_is_named(
    watch: loopwatch.Watch, events: RecordingReporter, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library that runs a callback of its own on the loop."""
    folder = installed(modules, monkeypatch)
    (folder / "poller.py").write_text(f"import time\ndef poll():\n    fetch()\ndef fetch():\n    time.sleep({HELD})\n")
    import poller  # type: ignore[import-not-found]

    async def main() -> None:
        asyncio.get_running_loop().call_soon(poller.poll)
        await asyncio.sleep(WARM)

    asyncio.run(main())
    stall = longest(events)
    assert held_for(stall, HELD)
    assert stall.site == "poller.poll:3"
    assert [frame.function for frame in stall.stack] == ["poll", "fetch"]


def test_own_code_that_a_library_calls_back_is_named(
    watch: loopwatch.Watch, events: RecordingReporter, modules: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between library frames, it is the one that is charged."""
    folder = installed(modules, monkeypatch)
    (folder / "framework.py").write_text(
        "import time\ndef serve(view):\n    view()\ndef query(seconds):\n    time.sleep(seconds)\n"
    )
    import framework  # type: ignore[import-not-found]

    def view() -> None:
        framework.query(HELD)  # held: called back

    async def main() -> None:
        asyncio.get_running_loop().call_soon(framework.serve, view)
        await asyncio.sleep(WARM)

    asyncio.run(main())
    stall = longest(events)
    assert stall.culprit is not None and stall.culprit.line == line("called back", __file__)
    assert [frame.function.rpartition(".")[2] for frame in stall.stack] == ["serve", "view", "query"]
    assert "to_thread" in stall.remedy


# --- turns -------------------------------------------------------------------------------------


def spin(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def small() -> None:
    spin(0.002)


def test_a_turn_of_many_short_callbacks_is_one_stall(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """With their number, the biggest contributor and the function that makes most of it."""

    spent: list[float] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(WARM)
        for _ in range(200):
            loop.call_soon(small)
        began = time.perf_counter()
        await asyncio.sleep(0)
        spent.append(time.perf_counter() - began)

    stall = on_a_free_host(events, lambda: asyncio.run(main()))
    assert stall.duration == pytest.approx(spent[-1], abs=0.02 + within(stall))
    counted = bool(stall.contributors)
    assert counted in told(Difference.COUNTS, stall, (True,), (True, False))
    kind, callback = ("turn", "many callbacks") if counted else ("step", f"{__name__}.small")
    assert (stall.kind, stall.callback, stall.task) == (kind, callback, None)
    if counted:
        assert 200 <= stall.steps <= 202
        assert (stall.contributors[0].name.rpartition(".")[2], stall.contributors[0].steps) == ("small", 200)
        assert stall.contributors[0].seconds == pytest.approx(stall.duration, rel=0.1, abs=within(stall))
    assert stall.culprit is not None and stall.culprit.function in ("spin", "small")
    assert ("batches" if counted else "process pool") in stall.remedy
    assert len([each for each in events.stalls if each.duration > 0.25]) == 1


def test_a_turn_of_many_different_callbacks_charges_no_single_one(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """Eight functions share it evenly."""
    namespace: dict[str, Any] = {"perf_counter": time.perf_counter}
    body = "    end = perf_counter() + 0.01\n    while perf_counter() < end:\n        pass\n"
    exec("".join(f"def callback_{number}():\n{body}" for number in range(8)), namespace)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(WARM)
        for number in range(40):
            loop.call_soon(namespace[f"callback_{number % 8}"])
        await asyncio.sleep(0)

    stall = on_a_free_host(events, lambda: asyncio.run(main()))
    assert held_for(stall, 0.4)
    assert (stall.kind, stall.culprit) == ("turn", None)
    assert {each.steps for each in stall.contributors[:8]} in told(Difference.COUNTS, stall, [{5}], [{5}, set()])


def test_a_turn_that_goes_on_is_told_while_it_lasts(events: RecordingReporter) -> None:
    """Under the id of the stall that it becomes."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(WARM)
        for _ in range(600):
            loop.call_soon(small)
        await asyncio.sleep(0)

    with watching(events, 0.05):
        ended = on_a_free_host(events, lambda: asyncio.run(main()))
    tales = [stall for stall in events.events if isinstance(stall, Stall) and stall.id == ended.id]
    assert len(tales) >= 2 and tales[-1] is ended
    kinds = {stall.kind for stall in tales}
    assert kinds in told(Difference.KIND, ended, [{"turn"}], [{"turn"}, {"step"}])
    assert 0.5 <= tales[0].duration < ended.duration
    assert ended.duration >= 1.0


# --- how much of it was the code's -------------------------------------------------------------


def test_a_short_wait_before_a_long_computation_is_charged_with_it(
    watch: loopwatch.Watch, events: RecordingReporter
) -> None:
    """It is over before anybody looks, and no clock tells it from what a hypervisor takes: it may be the code's."""
    waited, computed = 0.04, 0.12

    def view() -> None:
        time.sleep(waited)
        burn(computed)

    stall = on_a_free_host(events, lambda: in_a_step(view))
    assert stall.cause == "cpu"
    # Where a look took the interpreter from it, the wait may count as one for the interpreter: then the log tells that.
    told = stall.charged_seconds + stall.evidence.get("interpreter_seconds", 0.0)
    assert computed + waited / 2 <= told <= stall.duration + 0.001, stall.evidence
