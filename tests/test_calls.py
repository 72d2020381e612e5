"""The name of what a frame calls is the one in the source, or none at all."""

from __future__ import annotations

import sys
import textwrap
import threading
import types
from collections.abc import Callable, Generator, Iterator
from types import CodeType
from typing import Any

import pytest

from loopwatch.explain.calls import called_name
from tests.made_calls import INLINED, PATIENCE, frames_of, in_thread

# --- code that blocks, and the frame that called it --------------------------------------------


class Gate:
    """What blocks, when it is told to. ``frame`` is the frame that called what blocked."""

    def __init__(self) -> None:
        self.closed = False
        self.entered = threading.Event()
        self.leave = threading.Event()

    def block(self) -> bool:
        if self.closed:
            self.closed = False
            self.entered.set()
            assert self.leave.wait(PATIENCE)
        return False


class Stage:
    """Every way in which code of one's own can be run by an instruction; each blocks."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.session = self.pool = self
        self.items = [self]

    def wait(self, *args: Any, **kwargs: Any) -> Any:
        return self.gate.block()

    def find(self, *args: Any) -> Stage:
        return self

    def __enter__(self) -> Stage:
        self.gate.block()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.gate.block()

    __call__ = __len__ = __add__ = __getitem__ = __lt__ = wait
    prop = property(wait)

    def generate(self) -> Iterator[int]:
        self.gate.block()
        yield 1

    async def fetch(self, *args: Any) -> Any:
        return self.gate.block()

    async def later(self) -> Any:
        await Pause()
        return self.gate.block()

    async def rows(self) -> Any:
        self.gate.block()
        yield 1

    async def __aenter__(self) -> None:
        self.gate.block()

    async def __aexit__(self, *exc_info: object) -> None:
        self.gate.block()

    def __await__(self) -> Iterator[None]:
        self.gate.block()
        yield


class Door(Stage):
    """Blocks only where it is left."""

    def __enter__(self) -> Door:
        return self

    async def __aenter__(self) -> None:
        return None


class Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


def names_for(gate: Gate) -> dict[str, Any]:
    stage = Stage(gate)
    return {
        "__name__": "case",
        "Stage": Stage,
        "stage": stage,
        "door": Door(gate),
        "gate": gate,
        "Gate": Gate,
        "wait": lambda *args, **kwargs: gate.block(),
        "make": lambda *args: stage,
        "identity": lambda *args: args[0] if args else None,
        "functions": {"first": stage.wait},
    }


def function_of(source: str, gate: Gate, asynchronous: bool = False) -> Callable[[], Any]:
    """A function ``run`` with ``source`` for its body."""
    names = names_for(gate)
    body = textwrap.indent(source, "    ")
    exec(compile(f"{'async ' * asynchronous}def run():\n{body}\n", "<case>", "exec"), names)
    run: Callable[[], Any] = names["run"]
    return run


def finish(value: Any) -> None:
    """Runs a coroutine or a generator to its end."""
    if isinstance(value, types.CoroutineType):
        try:
            while True:
                value.send(None)
        except StopIteration:
            pass
    elif isinstance(value, types.GeneratorType):
        list(value)


def caller_while_blocked(gate: Gate, work: Callable[[], Any]) -> tuple[CodeType, int]:
    """Code and offset of the frame that called the function in which ``work`` blocks."""

    def look(ident: int) -> tuple[CodeType, int]:
        assert gate.entered.wait(PATIENCE)
        frames = frames_of(ident)
        next(frame for frame in frames if frame.f_code is Gate.block.__code__)
        next(frames)  # the function of the stage
        caller = next(frames)
        return caller.f_code, caller.f_lasti

    gate.closed = True
    return in_thread(work, look, gate.leave.set)  # type: ignore[no-any-return]


def name_while_blocked(source: str, runs_before: int = 0, asynchronous: bool = False) -> str | None:
    gate = Gate()
    run = function_of(source, gate, asynchronous)
    for _ in range(runs_before):
        finish(run())
    return called_name(*caller_while_blocked(gate, lambda: finish(run())))


NAMED = {
    # plain calls, methods, and arguments of every kind
    "wait()": "wait",
    "x = y = stage.wait(1, 2, key=3)": "stage.wait",
    "return stage.session.pool.wait(*(1, 2), **{'key': 3})": "stage.session.pool.wait",
    "wait(*(1, 2), 3, key=4)": "wait",
    "wait(1 if make else 2, make and 1 or 2, [n for n in (1, 2)], {**{}}, f'{1!r:>3}', lambda: 0)": "wait",
    "stage.wait([m for n in (1, 2) for m in (n, n) if m], key=(n for n in (1, 2)))": "stage.wait",
    "wait(count := 3, not count, 1 < count < 4)": "wait",
    "(name := wait)()": "wait",
    "stage()": "stage",
    "local = wait\nlocal()": "local",
    # calls of results, and calls in arguments
    "make().wait()": "make().wait",
    "make(1)()": "make()",
    "stage.find('x').session.wait()": "stage.find().session.wait",
    "identity(1, wait(), identity(3))": "wait",
    "identity(identity, *[wait()], identity())": "wait",
    # over several lines
    "(stage\n  .find(\n    1,\n  )\n  .session\n  .wait(\n    1,\n  )\n)": "stage.find().session.wait",
    "identity(\n    1,\n    stage.wait(\n        2\n    ),\n)": "stage.wait",
    # in other expressions
    "[wait(n) for n in (1,)]": "wait",
    "{wait(n): stage.wait for n in (1,)}": "wait",
    "{n: stage.wait(n) for n in (1,)}": "stage.wait",
    "list(wait(n) for n in (1,))": "wait",
    "[[wait(m) for m in (n,)] for n in (1,)]": "wait",
    "f'a {wait()} b'": "wait",
    "f'{1} {stage.wait(2)!r:>{10}} {3}'": "stage.wait",
    "(lambda: stage.wait())()": "stage.wait",
    "'%s %s' % (1, wait())": "wait",
    # in statements
    "while wait(): pass": "wait",
    "for n in [1, stage.wait(2)]: pass": "stage.wait",
    "for n in (1, 2):\n    for m in (3, 4):\n        stage.wait(m)": "stage.wait",
    "match wait():\n    case [1, *_]: pass\n    case _: pass": "wait",
    "assert not wait(), identity('text')": "wait",
    "try:\n    raise ValueError\nexcept ValueError as error:\n    stage.wait(error)": "stage.wait",
    "try:\n    identity()\nfinally:\n    stage.wait()": "stage.wait",
    "if identity(0): pass\nelif wait(): pass": "wait",
    "class Body:\n    value = wait()": "wait",
    "@stage.wait\ndef inner(): pass": "stage.wait",
    "@make(1).wait\n@identity\ndef inner(): pass": "make().wait",
    "def outer(blocker):\n    return lambda: blocker.wait()\nouter(stage)()": "blocker.wait",
    "class Child(Stage):\n    def wait(self): return super().wait()\nChild(gate).wait()": "super().wait",
    "class Child(Stage):\n    def wait(self): return super(Child, self).wait(1)\nChild(gate).wait()": "super().wait",
    # code of one's own that C calls
    "sorted([2, 1], key=wait)": "sorted",
    "max(map(stage.wait, [1]))": "max",
    "' '.join(map(repr, [len(stage)]))": "len",
    "dict(a=list(stage.generate()))": "list",
    "', '.join(map(str, stage.generate()))": "str.join",
    "b', '.join(map(bytes, stage.generate()))": "bytes.join",
    # with
    "with stage: pass": "stage.__enter__",
    "with make(1) as one: pass": "make().__enter__",
    "with door, stage.session as two: pass": "stage.session.__enter__",
    "with door: identity()": "door.__exit__",
    "with identity(door) as one, door.pool as two:\n    for n in (1, 2): identity(n)": "door.pool.__exit__",
    # yield from
    "yield from stage.generate()": "stage.generate",
    "yield (yield from stage.session.generate())": "stage.session.generate",
}

AWAITED = {
    "await stage.fetch()": "stage.fetch",
    "return [1, await stage.session.fetch(1, *(2, 3))]": "stage.session.fetch",
    "await make().fetch()": "make().fetch",
    "await identity(stage.fetch())": "identity",
    "[await stage.fetch(n) for n in (1,)]": "stage.fetch",
    "f'{await stage.fetch()}'": "stage.fetch",
    "await stage.later()": "stage.later",
    "identity(1, await stage.later(), 2)": "stage.later",
    "async with stage: pass": "stage.__aenter__",
    "async with door.pool as one: await identity(Stage(Gate()).fetch())": "door.pool.__aexit__",
    "async for row in stage.rows(): pass": "stage.rows().__anext__",
    # Before Python 3.12 a comprehension is a function, and is handed what it goes through.
    "[row async for row in stage.session.rows()]": "stage.session.rows().__anext__" if INLINED else None,
    "task = Stage(gate)\nawait task": None,
}

NAMELESS = [
    "functions['first']()",
    "stage.items[0].wait()",
    "(stage.items and stage.wait)()",
    "(identity() or wait)()",
    "[wait][0]()",
    "(lambda *_: gate.block())()",
    "stage + 1",
    "stage[1]",
    "stage < 1",
    "stage.prop",
    "for n in stage.generate(): pass",
    "[n for n in stage.generate()]",
    "one, = stage.generate()",
    "class Child(metaclass=lambda *_: gate.block()): pass",
    "stage" + ".session" * 20 + ".wait()",
]


@pytest.mark.parametrize("runs_before", [0, 300], ids=["cold", "hot"])
@pytest.mark.parametrize("source", NAMED)
def test_a_call_has_the_name_that_stands_in_the_source(source: str, runs_before: int) -> None:
    """Plain, nested, chained, multi-line, in every statement; also after the interpreter has specialised it."""
    assert name_while_blocked(source, runs_before) == NAMED[source]


@pytest.mark.parametrize("runs_before", [0, 300], ids=["cold", "hot"])
@pytest.mark.parametrize("source", AWAITED)
def test_an_await_has_the_name_of_what_made_the_awaitable(source: str, runs_before: int) -> None:
    """Also when it was suspended before; an awaited variable is no call and has no name."""
    assert name_while_blocked(source, runs_before, asynchronous=True) == AWAITED[source]


@pytest.mark.parametrize("runs_before", [0, 300], ids=["cold", "hot"])
@pytest.mark.parametrize("source", NAMELESS)
def test_what_is_in_doubt_has_no_name(source: str, runs_before: int) -> None:
    """Callees chosen at run time, operators, properties and iteration give None, never a wrong name."""
    assert name_while_blocked(source, runs_before) is None


def test_a_callee_from_two_branches_has_its_own_name_or_none() -> None:
    """Some compilers write the call once for each branch; then it is known which one is called."""
    assert name_while_blocked("(stage.wait if stage.items else identity)()") in (None, "stage.wait")
    assert name_while_blocked("(identity if not stage.items else stage.wait)()") in (None, "stage.wait")


def test_a_traced_frame_is_named_like_any_other() -> None:
    """Tools that trace or monitor code put their own instructions in its place."""
    gate = Gate()
    run = function_of("identity(1, stage.wait(2))", gate)

    def traced() -> None:
        sys.settrace(lambda *_: lambda *_: None)
        try:
            run()
        finally:
            sys.settrace(None)

    assert called_name(*caller_while_blocked(gate, traced)) == "stage.wait"


def test_names_are_right_in_code_with_hundreds_of_names() -> None:
    """Indexes beyond 255 and far jumps are written with an instruction in front of the instruction."""
    many = "\n".join(f"    local{n} = name{n}.field{n}" for n in range(300))
    assert name_while_blocked(f"if not stage.items:\n{many}\nelse:\n    last = stage\n    last.session.wait(1)") == (
        "last.session.wait"
    )
