"""The code blocks of the documentation, and what the comment before each one says is to be done with it.

A comment is invisible to the reader and stands right above the block; several may stand above one block:

    <!-- run: file NAME -->             written to NAME, for the blocks below it on the page; not run by itself
    <!-- run: program exits 1 -->       a whole program that ends with 1; a python block without a comment ends with 0
    <!-- run: pytest -->                a test module that passes; words that follow are arguments of pytest
    <!-- run: pytest fails -->          one that fails
    <!-- run: shell -->                 commands; where lines begin with `$ `, the others are what they print
    <!-- run: shell exits 1 -->         the same, where the last command is to fail
    <!-- run: serves URL ... -->        a program or commands that serve: each URL is asked, then they are ended
    <!-- run: promtool check config --> the block is a file for promtool
    <!-- run: prints -->                what the block above it prints, at least these lines in a row
    <!-- run: prints only -->           all that the block above it prints
    <!-- run: prints by FILE -->        the same of a program of the checkout
    <!-- run: with FILE ... -->         beside one of the others: files of the checkout, folders, files of pages
    <!-- run: not, BECAUSE -->          is not run, with the reason

A text block without a comment is a picture. Everything else needs one of them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.programs import ROOT

if TYPE_CHECKING:
    from markdown_it.token import Token

LANGUAGES = ("console", "ini", "json", "python", "text", "toml", "yaml")
PAGES = ("*.md", "docs/**/*.md", "examples/**/*.md", "grafana/*.md", "benchmarks/**/*.md")
BUILT = "_build"

KINDS = {
    "file": LANGUAGES,
    "program": ("python",),
    "pytest": ("python",),
    "shell": ("console",),
    "serves": ("console", "python"),
    "promtool": ("yaml",),
    "prints": ("json", "text"),
    "not": LANGUAGES,
}
"""What can be done with a block, and the languages of which it may be."""

WITHOUT_A_COMMENT = {"python": "program", "text": "shown"}

_COMMENT = re.compile(r"<!--\s*run:\s*(.+?)\s*-->\s*", re.DOTALL)


class Unclear(ValueError):
    """Nobody can tell what is to be done with the block; says what to write."""


@dataclass(frozen=True)
class Way:
    """What is done with a block: one of ``KINDS``, or ``shown``."""

    kind: str
    arguments: tuple[str, ...] = ()
    exits: int = 0
    only: bool = False
    by: str = ""
    """For ``prints``: the program of the checkout that prints it, in place of the block above."""
    why: str = ""
    """For ``not``: the reason."""
    beside: tuple[str, ...] = ()
    """Files and folders of the checkout."""


@dataclass(frozen=True)
class Block:
    """One block: ``line`` is that of its fence, counted from 1; ``comments`` are what stands right above it."""

    page: str
    line: int
    language: str
    text: str
    comments: tuple[str, ...] = field(default=())

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def way(self) -> Way:
        """Raises Unclear, with what to write instead."""
        if self.language not in LANGUAGES:
            named = f"the language {self.language!r}" if self.language else "no language"
            raise Unclear(f"{self.place} has {named}: write one of {', '.join(LANGUAGES)} behind its fence")
        beside = [path for comment in self.comments if (words := comment.split())[0] == "with" for path in words[1:]]
        told = [comment for comment in self.comments if comment.split()[0] != "with"]
        if len(told) > 1:
            raise Unclear(f"{self.place} has {len(told)} comments that say how it is run: leave one")
        missing = [path for path in beside if not (ROOT / path).exists()]
        if missing:
            raise Unclear(f"{self.place} wants {', '.join(missing)}, which the checkout has not")
        kind = WITHOUT_A_COMMENT.get(self.language)
        if told:
            way = self._told(told[0])
        elif kind:
            way = Way(kind)
        else:
            raise Unclear(f"{self.place}, {self.language}, does not say how it is run: write {self._choice()} above it")
        return Way(**{**vars(way), "beside": tuple(beside)})

    def _told(self, comment: str) -> Way:
        kind, *words = shlex.split(comment) if not comment.startswith("not,") else ["not", *comment.split()[1:]]
        if self.language not in KINDS.get(kind, ()):
            raise Unclear(f"{self.place}, {self.language}, is not run as {comment!r}: write {self._choice()} above it")
        if kind == "not":
            if not words:
                raise Unclear(f"{self.place} is not run without a reason: write <!-- run: not, BECAUSE -->")
            return Way(kind, why=" ".join(words))
        if kind == "prints":
            return self._printed(comment, words)
        exits = 0
        if kind in ("program", "shell") and words[:1] == ["exits"] and words[1:] and words[1].isdigit():
            exits, words = int(words[1]), words[2:]
        elif kind == "pytest" and words[:1] == ["fails"]:
            exits, words = 1, words[1:]
        takes = {"file": len(words) == 1, "program": not words, "shell": not words, "serves": bool(words)}
        if not takes.get(kind, True):
            raise Unclear(f"{self.place}: {comment!r} is not understood: write {self._choice()} above it")
        return Way(kind, tuple(words), exits)

    def _printed(self, comment: str, words: list[str]) -> Way:
        only = words[:1] == ["only"]
        words = words[only:]
        by = words[1] if words[:1] == ["by"] and len(words) == 2 else ""
        if words and not by:
            raise Unclear(f"{self.place}: {comment!r} is not understood: write {self._choice()} above it")
        if by and not (ROOT / by).exists():
            raise Unclear(f"{self.place} is printed by {by}, which the checkout has not")
        return Way("prints", only=only, by=by)

    def _choice(self) -> str:
        return " or ".join(f"<!-- run: {_FORMS[kind]} -->" for kind, kinds in KINDS.items() if self.language in kinds)


_FORMS = {
    "file": "file NAME",
    "program": "program exits 1",
    "pytest": "pytest [fails] [ARGUMENTS]",
    "shell": "shell [exits 1]",
    "serves": "serves URL ...",
    "promtool": "promtool check config",
    "prints": "prints [only] [by FILE]",
    "not": "not, BECAUSE",
}


def pages(root: Path = ROOT) -> list[Path]:
    """Every page of Markdown that people read."""
    found = {path for pattern in PAGES for path in root.glob(pattern)}
    return sorted(path for path in found if BUILT not in path.relative_to(root).parts)


def blocks_of(page: str, text: str) -> list[Block]:
    """The code blocks of a page in their order. Raises Unclear for a comment that stands above no block."""
    from markdown_it import MarkdownIt

    return list(_blocks(page, MarkdownIt("commonmark").enable("table").parse(text)))


def _blocks(page: str, tokens: Iterable[Token]) -> Iterator[Block]:
    comments: list[str] = []
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and (found := _COMMENT.fullmatch(token.content)):
            comments.append(found[1])
            continue
        if token.type in ("fence", "code_block"):
            language = token.info.split()[0] if token.info.split() else ""
            yield Block(page, line, language, token.content, tuple(comments))
            comments = []
        elif comments and token.type != "html_block":
            raise Unclear(f"{page}: the comment 'run: {comments[0]}' stands above no code block, but above line {line}")
    if comments:
        raise Unclear(f"{page}: the comment 'run: {comments[0]}' stands above nothing")


def commands_of(lines: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """What a console block tells to type; of a session with prompts also what it shows as printed."""
    if not any(line.startswith("$ ") for line in lines):
        return list(lines), None
    typed: list[str] = []
    printed: list[str] = []
    goes_on = False
    for line in lines:
        if line.startswith("$ ") or goes_on:
            typed.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
        else:
            printed.append(line)
    return typed, printed
