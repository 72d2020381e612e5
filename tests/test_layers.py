"""The import rule of the package, read from its source: who may know whom."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "loopwatch"
FILES = sorted(PACKAGE.rglob("*.py"))

BASE = {"_compat", "_names", "_version", "errors", "facts", "metrics", "model", "settings"}
"""The words everyone shares; they know only one another."""
ROOMS = {"explain", "observe", "record", "report"}

MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    **{room: BASE | {room} for room in ROOMS},
    "accounts": BASE | ROOMS,
    "traces": BASE | ROOMS,
    "ending": set(),
    "stand_in": set(),
    "watch": BASE | ROOMS | {"accounts", "ending", "stand_in", "traces"},
    "__init__": BASE | ROOMS | {"watch"},
    "testing": BASE | {"explain", "report", "stand_in", "testing", "watch"},
    "pytest_plugin": BASE | {"pytest_plugin", "report", "testing", "watch"},
    "cli": BASE | {"report", "watch"},
    "__main__": {"cli"},
}
"""The first part of a module's name inside the package, and the first parts that it may import."""

KNOWN_IN_OBSERVE = {
    "stopwatch": set(),
    "resting": {"stopwatch"},
    "jobs": set(),
    "loops": {"stopwatch", "jobs"},
    "uvloops": {"stopwatch", "resting", "jobs", "loops"},
    "looks": {"stopwatch", "resting", "jobs", "loops"},
}
"""Each room of observe, and those that it may know besides itself and the words that lie beside them."""
JOIN_OBSERVE = {"observe.foreign_loops", "observe.hooks"}

LIBRARIES = {
    "observe.jobs.anyio_threads": {"anyio"},
    "report.prometheus": {"prometheus_client"},
    "report.prometheus_files": {"prometheus_client"},
    "report.otel": {"opentelemetry"},
    "report.otel_histograms": {"opentelemetry"},
    "report.otel_traces": {"opentelemetry"},
    "pytest_plugin.asked": {"pytest"},
    "pytest_plugin.left_behind": {"pytest"},
    "pytest_plugin.plugin": {"pytest"},
    "pytest_plugin.unittest_cases": {"pytest"},
}
"""Each file that may import something other than the standard library, and what."""

MOST_LINES = 400
VAGUE = {"base", "common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}


class Import(NamedTuple):
    line: int
    target: str
    """The module inside the package, as ``report.log``; the package itself is the empty text."""


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return "__init__" if parts == ("__init__",) else ".".join(part for part in parts if part != "__init__")


MODULES = {name_of(file): file for file in FILES}
EACH_FILE = pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def statements(file: Path) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports of a file, also those inside functions and under TYPE_CHECKING."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node


def inner_imports(file: Path) -> Iterator[Import]:
    """What a file imports of the package, by relative imports."""
    package = list(file.relative_to(PACKAGE).parent.parts)
    for node in statements(file):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        origin = package[: len(package) - node.level + 1] + (node.module.split(".") if node.module else [])
        for alias in node.names:
            module = ".".join([*origin, alias.name])
            yield Import(node.lineno, module if module in MODULES else ".".join(origin))


def outer_imports(file: Path) -> Iterator[Import]:
    """The top-level names that a file imports from outside, by absolute imports."""
    for node in statements(file):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name.partition(".")[0])
        elif not node.level:
            yield Import(node.lineno, (node.module or "").partition(".")[0])


def test_the_package_was_found() -> None:
    """The tests of this file look at real files: without any, all of them would pass."""
    assert MODULES.keys() >= {"__init__", "errors", "facts", "metrics", "model", "settings", "watch"}
    assert {name.partition(".")[0] for name in MODULES} >= ROOMS


@EACH_FILE
def test_a_module_imports_only_what_its_room_may_know(file: Path) -> None:
    """Rooms know the shared words and themselves; only the watch joins rooms; every module has its place."""
    place = name_of(file).partition(".")[0]
    assert place in MAY_IMPORT, f"{file} has no place in the layers: give it one in MAY_IMPORT, or another room"
    wrong = [found for found in inner_imports(file) if found.target.partition(".")[0] not in MAY_IMPORT[place]]
    assert wrong == []


INSIDE_OBSERVE = [name for name in MODULES if name.startswith("observe.") and name not in JOIN_OBSERVE]


def room_of(module: str) -> str:
    """Which room of observe a module belongs to; the empty text for what lies beside the rooms."""
    parts = module.split(".")
    return parts[1] if parts[0] == "observe" and len(parts) > 1 and parts[1] in KNOWN_IN_OBSERVE else ""


@pytest.mark.parametrize("module", INSIDE_OBSERVE)
def test_a_room_of_observe_knows_only_the_rooms_below_it(module: str) -> None:
    """What lies beside the rooms knows none of them, and nobody but the watch knows who joins them."""
    room = room_of(module)
    known = {"", room, *KNOWN_IN_OBSERVE.get(room, set())}
    targets = [found.target for found in inner_imports(MODULES[module])]
    assert [target for target in targets if room_of(target) not in known or target in JOIN_OBSERVE] == []


def test_every_folder_of_observe_is_a_room() -> None:
    """A new one gets its line in KNOWN_IN_OBSERVE."""
    assert {file.parent.name for file in (PACKAGE / "observe").glob("*/__init__.py")} == set(KNOWN_IN_OBSERVE)


@EACH_FILE
def test_nothing_inside_imports_the_package_root(file: Path) -> None:
    """Inside, imports are relative and name a module: importing the root would tie all modules into a knot."""
    assert [found for found in outer_imports(file) if found.target == PACKAGE.name] == []
    assert [found for found in inner_imports(file) if found.target == ""] == []


@EACH_FILE
def test_a_foreign_library_is_imported_only_in_the_file_made_for_it(file: Path) -> None:
    """The core needs nothing but the standard library."""
    allowed = sys.stdlib_module_names | LIBRARIES.get(name_of(file), set())
    assert [found for found in outer_imports(file) if found.target not in allowed] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    """The imports form no cycle, those inside functions and under TYPE_CHECKING included."""
    graph = {name: {found.target for found in inner_imports(file)} for name, file in MODULES.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) >= set(MODULES)


IN_C = sorted(PACKAGE.rglob("*.[ch]"))
INCLUDE = re.compile(r'(?m)^#include "(.+)"$')


def test_no_header_in_c_includes_itself_by_way_of_others() -> None:
    """The includes form no cycle, and each is one of our files."""
    graph = {file.name: set(INCLUDE.findall(file.read_text(encoding="utf-8"))) for file in IN_C}
    assert {"module.c", "module.h", "step.c"} <= graph.keys()
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert set(order) == set(graph)


@pytest.mark.parametrize("file", [*FILES, *IN_C], ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_file_stays_short(file: Path) -> None:
    """One idea a file: what outgrows the limit is two ideas."""
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@EACH_FILE
def test_a_module_is_named_for_what_it_is(file: Path) -> None:
    """A vague name collects what has no place."""
    words = set(name_of(file).replace(".", "_").lower().split("_"))
    assert words & VAGUE == set()


@EACH_FILE
def test_only_compat_asks_for_the_python_version(file: Path) -> None:
    """What depends on the version of Python stands in one file."""
    asks = [
        node.lineno
        for node in ast.walk(parsed(file))
        if isinstance(node, ast.Attribute) and node.attr in {"version_info", "hexversion"}
    ]
    assert asks == [] or name_of(file) == "_compat"
