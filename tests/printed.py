"""Whether a program prints what the documentation shows, although no two runs take equally long.

What may differ: numbers, with the unit of a time or a size; ids; the folder of a path; how long a ruler is; how many
spaces stand within a line. ``...`` stands for anything, on a line of its own for any lines. What may not: words, the
names of files, the line numbers of sites and of files that are not the interpreter's own, and how many there are of
what a word names. Only of what is counted up to a moment that the machine chooses, there may be half to twice as many.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      (?P<anything> \.\.\. )
    | (?P<line>     \bline\ \d+ | (?<!localhost)(?<=[A-Za-z_>]):\d+\b )
    | (?P<ruler>    (?P<stroke>[-=_~─━])(?P=stroke){2,} )
    | (?P<folder>   (?<![\w.])/(?:[\w.+@-]+/)*(?=[\w.+@-]) )
    | (?P<id>       \b0x[0-9a-f]+\b | \b(?=[0-9a-f]*[0-9])(?=[0-9]*[a-f])[0-9a-f]{8,}\b )
    | (?P<time>     (?P<signed_time>(?<![\w.])[+-])? \d+(?:\.\d+)? \ ?(?:ns|us|ms|s|min|h)\b )
    | (?P<size>     (?P<signed_size>(?<![\w.])[+-])? \d+(?:\.\d+)? \ ?(?:B|kB|KB|MB|GB)\b )
    | (?P<count>    (?P<many>\d+)\ (?P<noun>[a-z]{3,}|x)\b )
    | (?P<number>   (?P<signed>(?<![\w.])[+-])? \d+(?:\.\d+)?(?:e[+-]?\d+)? )
    | (?P<spaces>   (?<=\S)\ + )
    """,
    re.VERBOSE,
)

_NUMBER = r"[+-]?\d+(?:[.]\d+)?(?:e[+-]?\d+)?"
_OTHERWISE = {
    "anything": r".*?",
    "folder": r"(?:[^\s\"'`()]*/)?",
    "id": r"(?:0x)?[0-9a-f]+",
    "time": rf"{_NUMBER}\ ?(?:ns|us|ms|s|min|h)\b",
    "size": rf"{_NUMBER}\ ?(?:B|kB|KB|MB|GB)\b",
    "number": _NUMBER,
    "spaces": r"\ +",
}
_UP_TO_A_MOMENT = ("callback", "job")
"""Callbacks that waited for a stall, jobs that waited or ran until it was told."""
_OF_THE_INTERPRETER = re.compile(r"/lib(?:64)?/python3")


def pattern_of(shown: list[str]) -> str:
    """A regular expression that fits these lines, each with its end, as any run may print them."""
    return "".join(r"(?:.*\n)*?" if line.strip() == "..." else _line(line.rstrip()) + r"[ \t]*\n" for line in shown)


def _line(line: str) -> str:
    made: list[str] = []
    end = 0
    for token in _TOKEN.finditer(line):
        made += [re.escape(line[end : token.start()]), _piece(token, bool(_OF_THE_INTERPRETER.search(line)))]
        end = token.end()
    return "".join(made) + re.escape(line[end:])


def _piece(token: re.Match[str], of_the_interpreter: bool) -> str:
    kind, text = token.lastgroup or "", token[0]
    if kind == "line":
        return re.sub(r"\d+", r"\\d+", re.escape(text)) if of_the_interpreter else re.escape(text)
    if kind == "ruler":
        return f"(?:{re.escape(token['stroke'])})+"
    if kind == "count":
        return _count(int(token["many"]), token["noun"])
    return _OTHERWISE[kind]


def _count(many: int, noun: str) -> str:
    one = noun.removesuffix("s")
    if one not in _UP_TO_A_MOMENT:
        return rf"{many}\ {noun}\b"
    about = "|".join(map(str, range(many // 2, 2 * many + 1)))
    return rf"(?:{about})\ {one}s?\b"


def is_printed(shown: list[str], printed: str, only: bool = False) -> bool:
    """Whether the lines stand in what was printed, in a row; with ``only``, whether nothing else does."""
    whole = printed if printed.endswith("\n") or not printed else printed + "\n"
    if only:
        return re.fullmatch(rf"\s*?{pattern_of(shown)}\s*", whole) is not None
    return re.search(f"^{pattern_of(shown)}", whole, re.MULTILINE) is not None


def difference(shown: list[str], printed: str, only: bool = False) -> str:
    """Which line is the first that is not printed as shown, and all that was printed; empty where there is none."""
    if is_printed(shown, printed, only):
        return ""
    fits = max(number for number in range(len(shown) + 1) if not number or is_printed(shown[:number], printed))
    if fits == len(shown):
        said = "all of it is printed, but not only that"
    else:
        said = f"its line {fits + 1} is not printed{' behind the one before it' if fits else ''}:\n  {shown[fits]}"
    return f"{said}\n--- shown\n{marked(shown, fits)}\n--- printed\n{printed.rstrip() or '(nothing)'}"


def marked(shown: list[str], missed: int) -> str:
    return "\n".join(("> " if number == missed else "  ") + line for number, line in enumerate(shown))
