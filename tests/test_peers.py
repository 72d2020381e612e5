"""The benchmark against the peers: its tables are made of its results, and its judge judges as it says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from benchmarks.peers import results, table
from benchmarks.peers.adapters.adapter import Adapter, Report
from benchmarks.peers.adapters.own import cause_in
from benchmarks.peers.judge import Verdict, judge, majority
from benchmarks.peers.remarks import ahead_in_cost, ahead_in_sight, names
from benchmarks.peers.scenarios.catalogue import SCENARIOS
from benchmarks.peers.scenarios.scenario import Scenario, marks
from benchmarks.peers.score import OURS, score
from benchmarks.peers.tools import EVERYWHERE, TOOLS

ROOT = Path(__file__).resolve().parent.parent
GUILTY = [scenario for scenario in SCENARIOS.values() if scenario.kind != "innocent"]
SLEEP, GC, IDLE = SCENARIOS["sleep"], SCENARIOS["gc"], SCENARIOS["idle"]


def row(seen: bool = True, line: str = "line", cause: bool = True, false_alarm: bool = False) -> results.Results:
    return Verdict(seen, line, cause, false_alarm).to_dict()


def test_the_document_says_what_the_results_say() -> None:
    """``docs/peers.md`` is what results.json makes of it."""
    assert table.DOCUMENT.read_text(encoding="utf-8") == table.document(results.read())


def test_the_readme_says_what_the_results_say() -> None:
    """What stands between the markers of the README is what results.json makes of it."""
    readme = table.README.read_text(encoding="utf-8")
    assert table.with_table(readme, results.read()) == readme


def test_a_readme_without_markers_is_refused() -> None:
    """A table that has no place is not lost in silence."""
    with pytest.raises(ValueError, match="lacks the markers"):
        table.with_table("# loopwatch\n", results.read())


def test_the_results_tell_no_place_of_the_machine() -> None:
    """No path of the machine that they were measured on stands in the results."""
    text = results.FILE.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|usr|work|opt|Users)\b", text)
    assert str(ROOT) not in text


def test_the_results_have_every_tool_and_every_program() -> None:
    """No tool and no program is left out of the table: what could not be run says so there."""
    found = results.read()
    tools = found["sight"]["asyncio"]["tools"]
    wanted = set(TOOLS) - set(found["not_installed"]) - {"loopwatch, in Python"}
    assert wanted <= set(tools)
    for tool in wanted:
        assert set(tools[tool]) == set(SCENARIOS)


def test_every_tool_is_pinned() -> None:
    """Each package of another's has its version in the one table."""
    packages = [*EVERYWHERE, *(package for tool in TOOLS.values() for package in tool.packages)]
    assert [package for package in packages if "==" not in package] == ["-e ."]


def test_every_tool_has_an_adapter_that_cites_its_source() -> None:
    """Each adapter can be made without its library, and its docstring says whose word it follows."""
    for tool in TOOLS.values():
        adapter = tool.make()
        assert isinstance(adapter, Adapter)
        assert "Source:" in (type(adapter).__doc__ or ""), tool.name


@pytest.mark.parametrize("scenario", GUILTY, ids=lambda scenario: scenario.name)
def test_every_guilty_program_has_its_line_marked(scenario: Scenario) -> None:
    """The line that is to blame is found in the source, inside a function."""
    found = marks(scenario)
    assert found
    assert all(mark.file.endswith(".py") and mark.function for mark in found)
    assert scenario.cause


def test_no_innocent_program_has_a_line_marked() -> None:
    """Where nothing is to blame no line is."""
    assert not [scenario.name for scenario in SCENARIOS.values() if scenario.kind == "innocent" and marks(scenario)]


def test_the_programs_know_no_tool() -> None:
    """No tool's name stands in the source of the programs."""
    folder = ROOT / "benchmarks" / "peers" / "scenarios"
    text = "\n".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    known = {package.partition("==")[0] for tool in TOOLS.values() for package in tool.packages} | {OURS}
    assert not [name for name in known if name.replace("-", "_") in text]


def places() -> list[tuple[str, str]]:
    (mark,) = marks(SLEEP)
    return [
        (f'  File "/srv/{mark.file}", line {mark.line}, in {mark.function}', "line"),
        (f"/srv/{mark.file}:{mark.line}:{mark.function} <- events.py:84:_run", "line"),
        (f"/srv/{mark.file} l. {mark.line} in `{mark.function}`", "line"),
        (f"held by scenarios.on_loop.{mark.function}:{mark.line} (cause: wait)", "line"),
        (f"held by scenarios.on_loop.{mark.function}:{mark.line}9 (cause: wait)", "function"),
        (f"<Task coro=<{mark.function}() done, defined at /srv/{mark.file}:{mark.line - 1}>", "function"),
        (f"/srv/other_{mark.file}:{mark.line}", ""),
        (f"another_{mark.function} took 0.35 s", ""),
        ("Event loop blocked for 350 ms", ""),
    ]


@pytest.mark.parametrize(("text", "place"), places())
def test_a_line_is_right_where_file_and_number_are_named(text: str, place: str) -> None:
    """In any of the forms that the tools use; the function alone counts as that."""
    assert judge(SLEEP, [Report(text)]) == Verdict(seen=True, line=place)


def test_nothing_told_is_nothing_seen() -> None:
    """Silence on a guilty program is a miss, on an innocent one it is right."""
    assert judge(SLEEP, []) == Verdict()
    assert judge(IDLE, []) == Verdict()


def test_a_cause_counts_only_in_the_tools_own_words() -> None:
    """A source line quoted in a stack gives the reader the reason, not the tool."""
    quoted = Report('  File "x.py", line 1\n    time.sleep(0.35)')
    assert not judge(SLEEP, [quoted]).cause
    assert judge(SLEEP, [Report("held", cause="wait, time.sleep")]).cause
    assert not judge(SLEEP, [Report("held", cause="cpu_blocking")]).cause


def test_what_the_idle_program_is_told_as_well_is_no_sighting() -> None:
    """A tool that always says something has seen nothing by saying it; the numbers in it do not matter."""
    always = [Report("epoll.poll took 601.5 ms")]
    assert judge(SLEEP, [Report("epoll.poll took 200.79 ms")], always) == Verdict()
    assert judge(SLEEP, [Report("time.sleep took 350.1 ms")], always).seen


def test_a_report_of_an_innocent_program_is_a_false_alarm_unless_its_cause_clears_the_code() -> None:
    """That the loop was held by the collector is true; that anything was is not, where nothing did."""
    assert judge(GC, [Report("held", cause="gc, generation 0")]) == Verdict()
    assert judge(GC, [Report("blocked 0.2 s")]) == Verdict(false_alarm=True)
    assert judge(GC, [Report("held", cause="gc"), Report("blocked 0.2 s")]).false_alarm
    assert judge(IDLE, [Report("held", cause="gc")]).false_alarm


def test_of_several_rounds_the_most_frequent_verdict_counts() -> None:
    """One odd round changes nothing; of a tie the better verdict is taken."""
    good, bad = Verdict(True, "line", True), Verdict()
    assert majority([bad, good, bad]) == bad
    assert majority([bad, good]) == good
    assert majority([Verdict(false_alarm=True), Verdict()]) == Verdict()


def test_the_reason_is_taken_from_the_first_line_of_loopwatchs_own_log() -> None:
    """What it says of a stall in brackets, of a backlog in words; a remedy is no reason."""
    assert cause_in("Event loop 'main' was held 350 ms by a.b:1 (cause: wait, time.sleep).\n  x") == "wait, time.sleep"
    assert (
        cause_in("Thread pool 'p' (2 workers) had no free worker for 1.2 s because of a.b:1.") == "had no free worker"
    )
    assert cause_in("Something else.\n  Event loop (cause: cpu)") == ""


def test_a_peer_that_does_better_is_named() -> None:
    """The sentence comes from the numbers: who, with which program, and what it does."""
    tools = {OURS: {"timer": row(line="")}, "aiocop": {"timer": row()}, "pyleak": {"timer": row(line="function")}}
    told = "\n".join(ahead_in_sight(tools))
    assert "*timer*" in told
    assert "names the right line: aiocop" in told
    assert "pyleak" not in told
    assert ahead_in_sight({OURS: {"timer": row()}, "aiocop": {"timer": row()}}) == [
        "No peer does better than loopwatch with any of these programs."
    ]


def test_a_peer_that_always_reports_is_said_to() -> None:
    """Where a peer is ahead that also reports the idle program, the reader is told."""
    tools = {OURS: {"timer": row(seen=False)}, "aiocop": {"timer": row(), "idle": row(false_alarm=True)}}
    assert ahead_in_sight(tools, brief=True)[-1] == "Reporting the idle program as well: aiocop."


def test_a_cheaper_peer_is_named_where_the_difference_is_more_than_the_rounds_differ_by() -> None:
    """Less is better for a step, more for requests; what lies within the spread is no difference."""

    def costs(ours: float, theirs: float, what: str) -> list[str]:
        return ahead_in_cost({name: {what: figure(value)} for name, value in ((OURS, ours), ("pyleak", theirs))})

    def figure(median: float) -> dict[str, float]:
        return {"median": median, "error": 0.02, "rounds": 5}

    assert costs(1.2, 1.1, "call_soon")[-1] == "- `call_soon` step: pyleak."
    assert costs(1.2, 1.17, "call_soon")[-1].startswith("No peer")
    assert costs(0.9, 1.0, "requests")[-1] == "- requests/s: pyleak."
    assert costs(1.0, 0.9, "requests")[-1].startswith("No peer")


def test_a_score_counts_what_was_run() -> None:
    """What could not be run counts neither for nor against a tool."""
    rows = {
        "sleep": row(),
        "cpu": row(line="function", cause=False),
        "eager": {"not_run": "x"},
        "idle": row(False, "", False),
    }
    assert score(rows).cells() == ["2 of 2", "1 (+1)", "1", "0 of 1"]


def test_names_are_joined_as_people_join_them() -> None:
    """One, two, many."""
    assert [names(list("abc")[:count]) for count in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the environments of the benchmark have a newer Python")
def test_a_program_under_no_tool_tells_nothing() -> None:
    """The process that runs a scenario brings the bare adapter through it, without a report and without an error."""
    from benchmarks.peers.sight_process import run

    adapter = Adapter()
    assert run(adapter, SCENARIOS["small file"], "asyncio") == ""
    assert adapter.reports == []
