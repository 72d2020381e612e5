"""The benchmarks run, say what they measured, and judge it by their bounds."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyperf")
pytest.importorskip("prometheus_client")

from benchmarks.figure import Figure
from benchmarks.pairs import in_turn, interleave, loops_for, spread

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    # A proxy of the surroundings has no part in what talks to loopback alone.
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, timeout=100)


def test_a_quick_look_at_one_figure_prints_its_ratio(tmp_path: Path) -> None:
    """``--fast --only`` measures in a process of its own, prints one row, and writes every value."""
    table, timings = tmp_path / "table.json", tmp_path / "timings.json"
    done = run("--fast", "--only", "call_soon", "--stopwatch", "python", "--json", str(table), "--pyperf", str(timings))
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("call_soon")]
    assert len(rows) == 1
    printed = re.search(r"<= 1\.2x +(\d+\.\d{3})x +(pass|MISS)", rows[0])
    assert printed, rows
    (figure,) = json.loads(table.read_text(encoding="utf-8"))
    assert figure["measured"] == pytest.approx(float(printed[1]), abs=0.001)
    pairs = [pair for process in figure["details"]["processes"] for pair in process["pairs"]]
    assert len(pairs) == 5
    assert all(pair["watched"] > 0 and pair["unwatched"] > 0 for pair in pairs)
    names = [each["metadata"]["name"] for each in json.loads(timings.read_text(encoding="utf-8"))["benchmarks"]]
    assert names == ["call_soon python unwatched", "call_soon python watched"]


def test_a_stall_is_measured_against_a_clock_inside_it(tmp_path: Path) -> None:
    """The figure ``stall`` knows the true duration of every stall beside the reported one."""
    table = tmp_path / "table.json"
    done = run("--fast", "--only", "stall", "--json", str(table))
    assert done.returncode == 0, done.stderr
    (figure,) = json.loads(table.read_text(encoding="utf-8"))
    assert len(figure["details"]["all"]) == 10
    for true, reported in figure["details"]["all"]:
        assert 0.05 < true <= reported + 0.001


def test_an_unknown_name_is_refused() -> None:
    """A figure that does not exist is not passed over in silence."""
    done = run("--only", "everything")
    assert done.returncode == 2
    assert "invalid choice: 'everything'" in done.stderr


@pytest.mark.parametrize(
    ("measured", "at_least", "verdict"),
    [(1.25, False, "pass"), (1.26, False, "MISS"), (0.97, True, "pass"), (0.96, True, "MISS"), (None, False, "?")],
)
def test_a_figure_is_judged_on_the_right_side_of_its_bound(
    measured: float | None, at_least: bool, verdict: str
) -> None:
    """The bound itself is kept; what could not be measured is neither."""
    figure = Figure("x", "what", measured, 0.97 if at_least else 1.25, at_least=at_least)
    assert figure.verdict == ("not measured" if verdict == "?" else verdict)


def test_a_figure_without_bound_is_not_judged() -> None:
    """What is told for orientation can neither pass nor miss."""
    assert Figure("x", "what", 3.0).verdict == "-"


def test_the_sides_take_turns() -> None:
    """Neither side is always the first, or a machine that warms up would favour one."""
    assert [list(in_turn("ABC", number)) for number in range(4)] == [list("ABC"), list("CBA")] * 2


def test_both_sides_of_a_pair_do_the_same_and_only_one_is_watched() -> None:
    """Each side runs the same number of loops, with the watch installed on the watched one alone."""
    import loopwatch

    seen: list[tuple[int, bool]] = []

    def pretend(loops: int) -> float:
        watched = loopwatch.current() is not None
        seen.append((loops, watched))
        return 3.0 * loops if watched else 2.0 * loops

    pairs = interleave(pretend, 16, 2)
    assert [(pair.unwatched, pair.watched, pair.ratio) for pair in pairs] == [(2.0, 3.0, 1.5)] * 2
    assert [watched for loops, watched in seen if loops == 16] == [False, True, True, False]


def test_loops_are_doubled_until_they_take_long_enough() -> None:
    """A time too short to be measured well is never taken."""
    assert loops_for(lambda loops: loops / 1000, 0.1) == 128


def test_the_spread_is_the_middle_half() -> None:
    """One disturbed round moves neither the median nor the quartiles."""
    assert spread([1.0, 1.1, 1.2, 1.3, 99.0]).median == 1.2
    assert str(spread([1.0, 1.1, 1.2, 1.3, 99.0])).startswith("1.100 to 1.300, ")
    assert spread([1.5]).median == 1.5


def test_the_median_of_many_values_is_surer() -> None:
    """How far the true median may be away shrinks with the number of values, unlike the spread of their middle half."""
    few, many = spread([1.0, 2.0, 3.0, 4.0] * 5), spread([1.0, 2.0, 3.0, 4.0] * 500)
    assert (few.low, few.high) == (many.low, many.high)
    assert 0 < many.error <= few.error
    hundred = spread([float(number) for number in range(101)])
    assert 8 <= hundred.error <= 12  # by the binomial distribution the 40th and the 62nd of 101


def test_a_process_uses_the_stopwatch_that_it_is_told_to(tmp_path: Path) -> None:
    """Each stopwatch is measured in processes of its own, and a table never tells of another than was measured."""
    program = """
from benchmarks.watching import choose, stopwatches, watching
choose("python")
with watching(True, prometheus=False) as watch:
    print(watch is not None, stopwatches()[0])
"""
    assert said_by(program) == "True python"
    wrong = program.replace('choose("python")', 'choose("of sand")')
    assert "RuntimeError: loopwatch uses the stopwatch 'python', not 'of sand' as it should" in said_by(wrong)


def said_by(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100)
    return (done.stdout + done.stderr).strip()
