"""Runs the code blocks of a page: each in a process of its own, in a folder that the page has to itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from examples.listening import free_port
from tests.code_blocks import Block, Unclear, Way, blocks_of, commands_of
from tests.printed import difference, is_printed
from tests.programs import ROOT

LIMIT = 60.0
"""Seconds for one block. On a free machine hardly any takes more than one, but others may use it as well."""

UNTIL_ALL_IS_TOLD = 10.0
"""Seconds for a server that answers to tell what it knows a moment later, such as numbers written once a second."""

PORTS = ("8000", "9000", "9090")
"""What the documentation calls a port; in its place each page gets one that is free."""

INSTALLED = "lib/site-packages"
"""What a page puts there counts as installed."""

PLUGINS = {"asyncio": "pytest_asyncio.plugin", "anyio": "anyio", "no_leaks": "pyleak.pytest_plugin"}
"""Plugins of pytest, each loaded where its name is marked or set up: to load all that are installed takes long."""

_OURS = ("LOOPWATCH_", "PYTEST_", "COV_", "OTEL_", "PROMETHEUS_")
_KEPT = ("LOOPWATCH_NO_EXTENSIONS", "LOOPWATCH_REQUIRE_C")


class BlockFailed(AssertionError):
    """The block does not do what the page says it does."""


@dataclass(frozen=True)
class Outcome:
    """What a block printed, errors included, and where it failed, why."""

    printed: str = ""
    failure: str = ""


class Page:
    """The blocks of one page, which share a folder: each finds what those above it have written.

    Of several ``attempts`` the first that succeeds counts: how long things take, and so what loopwatch says of them,
    depends on what else the machine does.
    """

    def __init__(self, blocks: Sequence[Block], folder: Path, attempts: int = 1) -> None:
        self._blocks = blocks
        self._folder = folder
        self._attempts = attempts
        self._outcomes: dict[int, Outcome] = {}
        self._lock = threading.Lock()
        self._ports = {name: str(free_port()) for name in PORTS}

    def run(self, block: Block) -> str:
        """What the block prints. Those above it are run before, once; it is run again where it failed.

        From any thread, one at a time. Raises BlockFailed.
        """
        with self._lock:
            return self._run_in_order(block)

    def _run_in_order(self, block: Block) -> str:
        for above in self._blocks[: self._blocks.index(block)]:
            if above.line not in self._outcomes:
                self._outcomes[above.line] = self._attempt(above)
        for _ in range(self._attempts):
            if block.line not in self._outcomes or self._outcomes[block.line].failure:
                self._outcomes[block.line] = self._attempt(block)
        outcome = self._outcomes[block.line]
        if outcome.failure:
            raise BlockFailed(outcome.failure)
        return outcome.printed

    def _attempt(self, block: Block) -> Outcome:
        try:
            return Outcome(self._run(block, block.way()))
        except (BlockFailed, Unclear) as error:
            return Outcome(failure=str(error))

    def _run(self, block: Block, way: Way) -> str:
        for path in way.beside:
            self._take(ROOT / path)
        if way.kind in ("not", "shown"):
            return ""
        if way.kind == "prints":
            return self._compare(block, way)
        if way.kind == "file":
            self._write(way.arguments[0], block)
            return ""
        if way.kind == "serves":
            return self._serve(block, way)
        return self._finish(block, way)

    def _take(self, source: Path) -> None:
        """A file, what is in a folder, or the files of another page."""
        if source.suffix == ".md":
            for block in blocks_of(source.name, source.read_text(encoding="utf-8")):
                if (way := block.way()).kind == "file":
                    self._write(way.arguments[0], block)
        elif source.is_dir():
            shutil.copytree(source, self._folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, self._folder)

    def _write(self, name: str, block: Block) -> Path:
        file = self._folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._with_ports(block.text), encoding="utf-8")
        return file

    def _with_ports(self, text: str) -> str:
        return re.sub(rf"(?<![\d.])({'|'.join(PORTS)})(?![\d.])", lambda port: self._ports[port[1]], text)

    def _command(self, block: Block, way: Way) -> list[str]:
        if way.kind == "pytest":
            file = self._write("test_page.py", block)
            return [sys.executable, "-m", "pytest", file.name, *way.arguments]
        if way.kind == "promtool":
            return ["promtool", *way.arguments, self._write("promtool.yml", block).name]
        if block.language == "console":
            typed, _ = commands_of(block.text.splitlines())
            return ["sh", "-e", "-u", "-c", self._with_ports("\n".join(typed))]
        return [sys.executable, self._write("program.py", block).name]

    def _for_pytest(self, block: Block) -> dict[str, str]:
        """Which plugins the tests of a block need, or those of the files above it."""
        files = [above.text for above in self._blocks[: self._blocks.index(block)] if above.way().kind == "file"]
        text = "\n".join([block.text, *files])
        named = [plugin for name, plugin in PLUGINS.items() if re.search(rf"\bmark\.{name}\b|\b{name}_mode\b", text)]
        options = [f"-p {name}" for name in ("loopwatch", *named, "no:cacheprovider")]
        return {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": " ".join(options)}

    def _finish(self, block: Block, way: Way) -> str:
        with running(self._command(block, way), self._folder, **self._for_pytest(block)) as started:
            code, printed = started.finish(block.place)
        if code != way.exits:
            raise BlockFailed(f"{block.place} ended with {code} instead of {way.exits}\n{_told(printed)}")
        if way.kind == "program" and not way.exits and "Traceback (most recent call last)" in printed:
            raise BlockFailed(f"{block.place} printed a traceback\n{printed}")
        if block.language == "console":
            _, shown = commands_of(block.text.splitlines())
            if shown is not None:
                self._expect(block, shown, printed, only=False)
        return printed

    def _serve(self, block: Block, way: Way) -> str:
        """Its log, and what the URLs answer; the last is asked until all that the page shows of it has come."""
        shown = [text.text.splitlines() for text in self._printed_by(block)]
        urls = [self._with_ports(url) for url in way.arguments]
        with running(self._command(block, way), self._folder) as started:
            answers = [started.ask(url, block.place) for url in urls]
            deadline = time.monotonic() + UNTIL_ALL_IS_TOLD
            while True:
                printed = "\n".join([started.printed(), *answers])
                if all(is_printed(lines, printed) for lines in shown) or time.monotonic() > deadline:
                    return printed
                time.sleep(0.1)
                answers[-1] = started.ask(urls[-1], block.place)

    def _printed_by(self, block: Block) -> Iterator[Block]:
        for below in self._blocks[self._blocks.index(block) + 1 :]:
            if below.comments[:1] and below.comments[0].split()[0] == "prints":
                yield below
            else:
                return

    def _compare(self, block: Block, way: Way) -> str:
        if way.by:
            beside = os.pathsep.join([str(self._folder), str(ROOT)])
            with running([sys.executable, str(ROOT / way.by)], self._folder, PYTHONPATH=beside) as started:
                code, printed = started.finish(way.by)
            if code:
                raise BlockFailed(f"{way.by}, which is to print {block.place}, ended with {code}\n{_told(printed)}")
        else:
            printed = self._above(block).printed
        self._expect(block, block.text.splitlines(), printed, way.only)
        return printed

    def _above(self, block: Block) -> Outcome:
        """Of the block that prints. What no block has printed yet, or another time than it should, is run again."""
        for above in reversed(self._blocks[: self._blocks.index(block)]):
            if above.way().kind in ("program", "pytest", "shell", "serves", "promtool"):
                if block.line in self._outcomes or above.line not in self._outcomes:
                    self._outcomes[above.line] = self._attempt(above)
                outcome = self._outcomes[above.line]
                if outcome.failure:
                    raise BlockFailed(f"{above.place}, which is to print {block.place}, failed: {outcome.failure}")
                return outcome
        raise BlockFailed(f"{block.place} is printed by the block above it, and none above it is run")

    def _expect(self, block: Block, shown: list[str], printed: str, only: bool) -> None:
        differs = difference(shown, printed, only)
        if differs:
            raise BlockFailed(f"{block.place}: {differs}")


def _told(printed: str) -> str:
    return printed.rstrip() or "(it printed nothing)"


class Started:
    """A process that leads a group of its own, so that it can be ended with all that it has started."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    def printed(self) -> str:
        """What it and all below it have printed so far."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def finish(self, place: str) -> tuple[int, str]:
        try:
            code = self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise BlockFailed(f"{place} still runs after {LIMIT:.0f} s\n{_told(self.printed())}") from None
        return code, self.printed()

    def ask(self, url: str, place: str) -> str:
        """What the URL answers, as soon as somebody is there to answer, and ready to."""
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                with urlopen(url, timeout=max(0.1, deadline - time.monotonic())) as answer:
                    body: bytes = answer.read()
                return body.decode(errors="replace")
            except (URLError, OSError) as error:
                if isinstance(error, HTTPError) and error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise BlockFailed(f"{place}: {url} answers {error.code}\n{_told(self.printed())}") from error
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise BlockFailed(f"{place}: {url} does not answer: {error}\n{_told(self.printed())}") from error
                time.sleep(0.05)

    def end(self) -> None:
        """Ask it and all below it to end, and make an end of what does not."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # nobody is left in the group


@contextmanager
def running(command: list[str], folder: Path, **environment: str) -> Iterator[Started]:
    """A command as a person runs it in that folder; it and all below it are gone afterwards."""
    with tempfile.NamedTemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder, environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started = Started(process, Path(output.name))
        try:
            yield started
        finally:
            started.end()


def _environment(folder: Path, more: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name in _KEPT or not name.startswith(_OURS)}
    for name in ("CI", "BUILD_NUMBER"):  # under which pytest prints otherwise
        inherited.pop(name, None)
    path = [str(folder / INSTALLED), *([more.pop("PYTHONPATH")] if "PYTHONPATH" in more else [])]
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "80",
        **more,
    }
