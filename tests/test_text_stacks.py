"""Stacks as a person reads them: short, with the culprit, and with their source lines where those can be had."""

from __future__ import annotations

import linecache
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.model import Frame
from loopwatch.report.text import render
from tests.made_events import CHECKOUT, frame, library, source, stall, text


@pytest.fixture
def views(tmp_path: Path) -> Iterator[Path]:
    """A source file with the lines that the frames below stand at."""
    yield source(tmp_path)
    linecache.clearcache()


def test_a_stall_is_told_whole(views: Path) -> None:
    """First who did it and who waited, then the stack with its source lines, the culprit marked, then the remedy."""
    event = stall(
        culprit=frame("price", 10, views),
        stack=(frame("checkout", 6, views), frame("price", 10, views)),
        cause="wait",
        evidence={"waited_for": "sleep", "call": "time.sleep"},
        delayed=1,
        task="a",
        remedy="Use `await asyncio.sleep(...)` instead of time.sleep().",
    )
    assert render(event) == text(
        f"""
        Event loop 'main' was held 352 ms by shop.views.price:10 (cause: wait, time.sleep); 1 callback waited. Task 'a'.
            File "{views}", line 6, in checkout
                price(item)
          > File "{views}", line 10, in price
                time.sleep(0.35)    # a tab
          Remedy: Use `await asyncio.sleep(...)` instead of time.sleep().
        """
    )


def shown(stack: Sequence[Frame], culprit: Frame | None = None) -> list[str]:
    """The shown functions and the gaps between them, the marked one with its mark."""
    lines = []
    for line in render(stall(stack=tuple(stack), culprit=culprit, task=None)).splitlines()[1:]:
        mark = "> " if line.startswith("  >") else ""
        lines.append(mark + line.rpartition(", in ")[2] if " File " in line else line.strip())
    return lines


ROUTE, HELP = frame("route", 20), frame("fetch", 7, "/srv/shop/http.py", "shop.http")
SERVER = [library("uvicorn.h11"), library("fastapi.applications"), library("starlette.routing"), library("fastapi.app")]
CLIENT = [library("requests.api", "get"), library("requests.sessions", "send"), library("urllib3.pool", "urlopen")]
SOCKET = frame("recv", 3, "/usr/lib/python3.12/socket.py", "socket")


def test_the_framework_around_the_own_code_is_a_line() -> None:
    """How many frames, and of what: nobody reads how a route came to be called."""
    assert shown([*SERVER, ROUTE], ROUTE) == ["... 4 frames of uvicorn, fastapi, starlette", "> route"]


def test_below_the_culprit_stand_what_it_called_and_where_that_ended() -> None:
    """The call of one's own that was too much, and what it came to in the end; the library's ways are a line."""
    assert shown([ROUTE, *CLIENT, SOCKET], ROUTE) == [
        "> route",
        "get",
        "... 2 frames of requests, urllib3",
        "recv",
    ]
    assert shown([ROUTE, *CLIENT[:2]], ROUTE) == ["> route", "get", "send"]
    assert shown([ROUTE, SOCKET], ROUTE) == ["> route", "recv"]


def test_own_frames_above_the_culprit_are_all_shown() -> None:
    """How one's own code got there, also through a framework, as with a middleware."""
    middleware = frame("middleware", 3)
    assert shown([*SERVER, middleware, *SERVER[1:], ROUTE, HELP, SOCKET], HELP) == [
        "... 4 frames of uvicorn, fastapi, starlette",
        "middleware",
        "... 3 frames of fastapi, starlette",
        "route",
        "> fetch",
        "recv",
    ]


def test_where_nobody_is_charged_the_own_code_is_shown_all_the_same() -> None:
    """It is no culprit, and has no mark, but it is what a reader knows."""
    assert shown([*SERVER, ROUTE, *CLIENT]) == [
        "... 4 frames of uvicorn, fastapi, starlette",
        "route",
        "get",
        "... 1 frame of requests",
        "urlopen",
    ]


def test_a_stack_without_own_code_shows_its_ends() -> None:
    """What the loop called and what that called first are at the outer end, what it was doing at the inner one."""
    outer, second, *more = CLIENT
    assert shown([outer, second, *more, *SERVER, SOCKET]) == [
        "get", "send", "... 5 frames of urllib3, uvicorn, fastapi, starlette", "recv",
    ]  # fmt: skip
    assert shown([outer], outer) == ["> get"]
    assert shown([]) == []


def test_an_installed_package_of_ones_own_is_shown() -> None:
    """Where the culprit lies in an installed package (see the setting own_code), its callers there are own code too."""
    view, helper = library("shop.views", "view"), library("shop.db", "helper")
    assert shown([*SERVER, view, library("starlette.x"), helper, SOCKET], helper) == [
        "... 4 frames of uvicorn, fastapi, starlette",
        "view",
        "... 1 frame of starlette",
        "> helper",
        "recv",
    ]


def test_our_own_frames_are_not_shown() -> None:
    """Wherever loopwatch is installed: a reader has not written it, and need not know that it stands in between."""
    ours = frame("submit", 81, "/srv/loopwatch/observe/jobs/executors.py", "loopwatch.observe.jobs.executors")
    assert shown([ROUTE, ours, SOCKET], ROUTE) == ["> route", "recv"]
    assert shown([SERVER[0], ours, SOCKET]) == ["call", "recv"]


def test_the_import_system_is_not_what_was_called() -> None:
    """Below an import stands the module that was imported, not how that is done."""
    bootstrap = frame("_find_and_load", 1, "<frozen importlib._bootstrap>", "importlib._bootstrap")
    module, inner = library("pandas", "<module>"), library("pandas.core", "<module>", 2)
    assert shown([ROUTE, bootstrap, bootstrap, module, bootstrap, inner], ROUTE) == [
        "> route",
        "... 2 frames of importlib",
        "<module>",
        "... 1 frame of importlib",
        "<module>",
    ]


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/srv/app/.venv/lib/python3.12/site-packages/starlette/routing.py", "starlette.routing"),
        ("/usr/lib/python3/dist-packages/starlette/routing.py", "starlette.routing"),
        (r"C:\\shop\\venv\\Lib\\site-packages\\starlette\\routing.py", "starlette.routing"),
        ("/usr/lib/python3.12/asyncio/runners.py", "asyncio.runners"),
        ("<frozen runpy>", "runpy"),
    ],
)
def test_libraries_are_known_by_where_they_are_installed(file: str, module: str) -> None:
    """On every system, and the standard library by the names of its modules."""
    assert shown([frame("around", 1, file, module), ROUTE], ROUTE) == [
        f"... 1 frame of {module.partition('.')[0]}",
        "> route",
    ]


def test_packages_without_end_are_cut_short() -> None:
    """Four names at most; frames of which not even the module is known are counted."""
    many = [library(name) for name in "abcdef"]
    assert shown([*many[:4], ROUTE], ROUTE)[0] == "... 4 frames of a, b, c, d"
    assert shown([*many, ROUTE], ROUTE)[0] == "... 6 frames of a, b, c, others"
    assert shown([library(""), ROUTE], ROUTE)[0] == "... 1 frame"


def deep(depth: int) -> tuple[Frame, ...]:
    return tuple(frame(f"f{number}", number + 1) for number in range(depth))


def test_own_code_that_is_deep_shows_what_is_near_its_culprit() -> None:
    """Twelve frames at most: the nearest to the culprit, and the innermost of all."""
    assert shown(deep(40), deep(40)[39]) == [
        "... 28 frames of shop", *(f"f{n}" for n in range(28, 39)), "> f39",
    ]  # fmt: skip
    assert shown(deep(40)) == ["... 28 frames of shop", *(f"f{n}" for n in range(28, 40))]
    near = shown(deep(40), deep(40)[20])
    assert near[0] == "... 15 frames of shop"
    assert near[-2:] == ["... 13 frames of shop", "f39"]
    assert "> f20" in near and "f21" in near


def test_a_recursion_is_one_frame() -> None:
    """A function that calls itself on one line is shown once, with the number of times."""
    visit = frame("visit", 7)
    event = stall(stack=(CHECKOUT, *[visit] * 30), culprit=visit, task=None)
    assert render(event).splitlines()[1:] == [
        '    File "/srv/shop/views.py", line 42, in checkout',
        '  > File "/srv/shop/views.py", line 7, in visit',
        "    ... 30 times in a row",
    ]


@given(
    kinds=st.lists(st.booleans(), max_size=60),
    culprit=st.none() | st.integers(0, 59),
)
def test_no_stack_is_long_and_every_frame_is_accounted_for(kinds: list[bool], culprit: int | None) -> None:
    """At most twelve frames; what is left out is counted; the culprit and the innermost frame are among those shown."""
    stack = [frame(f"f{number}", 1) if own else library("starlette", f"f{number}") for number, own in enumerate(kinds)]
    blamed = stack[culprit] if culprit is not None and culprit < len(stack) else None
    lines = shown(stack, blamed)
    frames = [line for line in lines if not line.startswith("...")]
    assert len(frames) <= 12
    assert len(frames) + sum(int(line.split()[1]) for line in lines if line.startswith("...")) == len(stack)
    assert [line for line in frames if line.startswith(">")] == ([f"> {blamed.function}"] if blamed else [])
    assert not stack or frames[-1].removeprefix("> ") == stack[-1].function


@pytest.mark.parametrize("name", ["/no/such/file.py", "<string>", "<frozen importlib._bootstrap>", "", "views\0.py"])
def test_a_file_that_cannot_be_read_costs_only_its_line(name: str) -> None:
    """The place is told without its source."""
    assert len(render(stall(stack=(frame("checkout", 3, name),), task=None)).splitlines()) == 2


def test_a_line_that_the_file_does_not_have_is_left_out(views: Path) -> None:
    """The file may have changed since it was loaded, or the line be empty."""
    event = stall(stack=(frame("checkout", 2, views), frame("price", 10_000, views)), task=None)
    assert len(render(event).splitlines()) == 3


def test_a_loader_that_raises_costs_only_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Source lines come through loaders that may be the application's own."""
    monkeypatch.setattr(linecache, "getline", lambda *args: 1 / 0)
    assert len(render(stall(stack=(CHECKOUT,), task=None)).splitlines()) == 2


def test_a_source_line_without_end_is_cut(tmp_path: Path) -> None:
    """Generated code may stand on one line of megabytes."""
    (tmp_path / "made.py").write_text("x = '" + "y" * 100_000 + "'\n", encoding="utf-8")
    source = render(stall(stack=(frame("made", 1, tmp_path / "made.py"),), task=None)).splitlines()[2]
    assert len(source.strip()) == 160
    assert source.endswith("...")
