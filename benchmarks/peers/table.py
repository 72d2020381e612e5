"""docs/peers.md and the short table in README.md, made of results.json and of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .environments import ROOT
from .remarks import ahead_in_cost, ahead_in_sight, names
from .results import Results
from .scenarios.catalogue import SCENARIOS
from .score import COSTS, FIGURES, OURS, Score, cost_of, score
from .tools import EVERYWHERE, TOOLS

DOCUMENT = ROOT / "docs" / "peers.md"
README = ROOT / "README.md"
BEGIN, END = "<!-- peers: begin, written by `make peers` -->", "<!-- peers: end -->"

_KEY = """`line`: seen, with the file and line that is to blame. `func`: seen, with the function. `seen`: no more than
that. `+c`: the tool also says the right reason. `ALARM`: it reports a program that did nothing wrong. `.`: nothing was
told, which is right for the innocent ones. `n/a`: not run, see below."""


_ABOUT = """Written by `make peers` from `benchmarks/peers/results.json`; do not edit it. Each tool has an environment
of its own, is set up as its own documentation says (the adapters in `benchmarks/peers/adapters/` name the source), and
has a threshold of 50 ms where it has one. Every program runs in a process of its own and knows nothing of the tools.
What counts as seen, right or false is stated in one place, `benchmarks/peers/judge.py`.

The programs and the rules were written by the authors of loopwatch, with what loopwatch is for in mind. The tools have
different aims, and a row is no grade: blockbuster and pyleak are made for tests, OpenTelemetry's instrumentation
measures durations and looks for nothing, fastapi-loopguard names requests, of which these programs have but one.

A *false alarm* is a matter of these rules, too. In *gc*, *sigstop* and *busy threads* the loop really is late: a tool
that says so is right about the time. It counts as an alarm unless it also says that the collector, the stop or the
other threads did it, since the code that happened to run is then taken for the culprit; few tools can say it.
""".splitlines()


def write(results: Results) -> None:
    """Both files, from the results as they are."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(results), encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), results), encoding="utf-8")


def with_table(readme: str, results: Results) -> str:
    """The README with what stands between the markers made anew. Raises ValueError where they are missing."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the markers {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{short(results)}{END}{after}"


def short(results: Results) -> str:
    """The compact table: sight on asyncio, and what costs are known."""
    part = results.get("sight", {}).get("asyncio")
    if part is None:
        return "\nNot measured yet: `make peers`.\n\n"
    scores = _scores(part["tools"])
    costs = _measured_cost(results, "asyncio")
    head = ["tool", "seen", "right line", "right cause", "false alarms"]
    head += [FIGURES[what].short for what in _SHORT_COSTS] if costs else []
    rows = [
        [_bold(name), *each.cells(), *(cost_of(costs, name, what) for what in _SHORT_COSTS if costs)]
        for name, each in scores.items()
    ]
    some = next(iter(scores.values()))
    said = [
        f"Each set up as its own documentation says, with 50 ms where it has a threshold, on Python "
        f"{part['circumstances']['python']} and asyncio: {some.guilty} programs that hold a loop or fill a pool, "
        f"{some.innocent} that do nothing wrong. In brackets: the function only.",
        *ahead_in_sight(part["tools"], brief=True),
    ]
    return "\n".join(["", *_table(head, rows), "", *said, ""])


def document(results: Results) -> str:
    """All of docs/peers.md."""
    lines = [
        "# loopwatch beside its peers",
        "",
        *_ABOUT,
        "",
        "## The tools",
        "",
        *_table(["tool", "version", "set up"], _tools(results)),
        "",
        *_not_installed(results),
    ]
    for loop, part in sorted(results.get("sight", {}).items()):
        lines += _sight(loop, part)
    for loop in ("asyncio", "uvloop"):
        lines += _cost(loop, results)
    return "\n".join(lines).rstrip() + "\n"


def _tools(results: Results) -> Iterable[list[str]]:
    parts = [part for kind in ("cost", "sight") for part in results.get(kind, {}).values()]
    versions = {name: version for part in parts for name, version in part["circumstances"]["versions"].items()}
    for tool in TOOLS.values():
        distribution = tool.packages[0].partition("==")[0] if tool.packages else ""
        if tool.name.startswith(OURS):
            version = versions.get(OURS, "")
        else:
            version = versions.get(distribution, "with Python" if not distribution else "not installed")
        yield [_bold(tool.name), version, tool.how]


def _not_installed(results: Results) -> list[str]:
    return [f"{name} could not be installed: {why}" for name, why in sorted(results.get("not_installed", {}).items())]


# --- sight ---


def _sight(loop: str, part: Results) -> list[str]:
    tools = part["tools"]
    scores = _scores(tools)
    head = ["tool", "seen", "right line", "right cause", "false alarms"]
    summary = [[_bold(name), *each.cells()] for name, each in scores.items()]
    matrix = [
        [f"**{name}** {scenario.what}", *(_cell(tools[tool].get(name, {})) for tool in scores)]
        for name, scenario in SCENARIOS.items()
    ]
    without = names(tool.name for tool in TOOLS.values() if loop == "uvloop" and not tool.uvloop)
    return [
        f"## What each sees, on {loop}",
        "",
        _circumstances(part["circumstances"]),
        *([f"Left out, since it sees nothing without asyncio's own handles: {without}."] if without else []),
        "",
        *_table(head, summary),
        "",
        *ahead_in_sight(tools),
        "",
        _KEY,
        "",
        *_table(["program", *scores], matrix),
        "",
        *_not_run(tools),
        "",
    ]


def _scores(tools: Results) -> dict[str, Score]:
    return {name: score(tools[name]) for name in TOOLS if name in tools}


def _cell(row: Results) -> str:
    if "not_run" in row or not row:
        return "n/a"
    if row["false_alarm"]:
        return "ALARM"
    if not row["seen"]:
        return "."
    place = {"line": "line", "function": "func", "": "seen"}[row["line"]]
    return f"{place} +c" if row["cause"] else place


def _not_run(tools: Results) -> list[str]:
    return [
        f"Not run: {tool}, {name}: {row['not_run']}."
        for tool in TOOLS
        for name, row in tools.get(tool, {}).items()
        if "not_run" in row
    ]


# --- cost ---

_SHORT_COSTS = ("call_soon", "requests", "memory", "idle")


def _measured_cost(results: Results, loop: str) -> Results:
    part: Results = results.get("cost", {}).get(loop, {})
    return part["tools"] if part and not part["circumstances"]["quick"] else {}


def _cost(loop: str, results: Results) -> list[str]:
    tools = _measured_cost(results, loop)
    head = [f"## What each costs, on {loop}", ""]
    if not tools:
        return [*head, "Not measured yet: `make peers ARGS='--only cost'`, on a quiet machine.", ""]
    part = results["cost"][loop]
    rows = [[_bold(name), *(cost_of(tools, name, what) for what in COSTS)] for name in TOOLS if name in tools]
    return [
        *head,
        _circumstances(part["circumstances"]),
        "",
        *_table(["tool", *(FIGURES[what].title for what in COSTS)], rows),
        "",
        "Ratios are to the bare loop measured just before and after, median of the rounds, ± half their range. "
        "Memory and idle CPU are what the process takes more than the bare one.",
        "",
        *ahead_in_cost(tools),
        "",
    ]


# --- both ---


def _circumstances(told: Results) -> str:
    rounds = f", rounds: {told['rounds']}" if "rounds" in told else ""
    distributions = [package.partition("==")[0] for package in EVERYWHERE]
    base = ", ".join(f"{name} {told['versions'].get(name)}" for name in distributions)
    machine = f"Python {told['python']}, {told['kernel']}, {told['cores']} cores"
    again = [f"then `{told['then']}`"] if "then" in told else []
    said = ", ".join(
        [f"`{told['command']}`", told["date"], *again, *([told["then_date"]] if "then_date" in told else [])]
    )
    return f"{said}; {machine}{rounds}; with {base}."


def _bold(name: str) -> str:
    return f"**{name}**" if name.startswith(OURS) else name


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]
