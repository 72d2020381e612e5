"""What a frame was calling, as dotted text, read from its code object alone.

The value stack is followed from the beginning of the code to the instruction in question, with names in
place of values. So no value of the application is looked at: locals are never read, nothing is called.
Where the bytecode leaves a doubt the answer is None. May be called from any thread.
"""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import NamedTuple

from .._names import namespace

_LONGEST = 12
"""Links followed in a chain such as ``a.b().c``; a longer one is no name any more."""

_CACHED = 1024


class Path(NamedTuple):
    """A name and what is done to it: ``rest`` holds ``.attribute`` and ``()`` for a call, in their order.

    ``is_global`` tells that the root is looked up in the module, and is no local variable.
    """

    root: str
    is_global: bool
    rest: tuple[str, ...] = ()

    def attribute(self, name: str) -> Path | None:
        return self._then(f".{name}")

    def result(self) -> Path | None:
        """What a call of this path gives."""
        return self._then("()")

    def callee(self) -> Path | None:
        """What was called to get this; None if this is not the result of a call."""
        return self._replace(rest=self.rest[:-1]) if self.rest and self.rest[-1] == "()" else None

    def text(self, root: str | None = None) -> str:
        return (root or self.root) + "".join(self.rest)

    def _then(self, link: str) -> Path | None:
        return self._replace(rest=(*self.rest, link)) if len(self.rest) < _LONGEST else None


def called_name(code: CodeType, lasti: int) -> str | None:
    """What the instruction at ``lasti`` calls, enters or awaits, as written: ``time.sleep``, ``self.session.get``.

    ``open().read`` is the method of a result, ``lock.__enter__`` a ``with`` that is being entered. A private
    attribute is told as the interpreter knows it (``self._Pool__lock``).
    None when that instruction calls nothing, or nothing that has a name.
    """
    path = _callee_at(code, lasti)
    return path.text() if path else None


def resolve_call(code: CodeType, lasti: int, module: str) -> str | None:
    """The same, with the first name resolved in ``module``: ``time.sleep`` for a ``sleep`` that comes from there.

    Only modules, functions and plain classes are resolved; any other object keeps the name it was written with.
    """
    path = _callee_at(code, lasti)
    if path is None:
        return None
    return path.text(_defined_as(namespace(sys.modules.get(module)).get(path.root)) if path.is_global else None)


def _defined_as(value: object) -> str | None:
    kind = type(value)  # isinstance() would ask a proxy for its __class__, and so run its code
    if issubclass(kind, ModuleType):
        name = namespace(value).get("__name__")
        return name if type(name) is str else None
    if kind is not BuiltinFunctionType and kind is not FunctionType and kind is not type:
        return None
    home, name = value.__module__, value.__qualname__  # type: ignore[attr-defined]
    if type(name) is not str or "<" in name:  # a lambda, or a function of a function: the variable says more
        return None
    return name if type(home) is not str or home == "builtins" else f"{home}.{name}"


_answers: dict[tuple[int, int], tuple[CodeType, Path | None]] = {}
"""By the id of the code, which the answer keeps alive, so that no other gets the same id."""


def _callee_at(code: CodeType, lasti: int) -> Path | None:
    # Not kept by the code object itself: hashing that goes through all its instructions and constants.
    key = id(code), lasti
    known = _answers.get(key)
    if known is not None:
        return known[1]
    try:
        path = Reading(code).callee_at(lasti) if lasti >= 0 else None
    except Exception:  # code that no compiler made, but a tool that writes bytecode
        path = None
    if len(_answers) >= _CACHED:
        _answers.clear()
    _answers[key] = code, path
    return path


# --- instructions ------------------------------------------------------------------------------

_CALLEE_HAS_TWO_PLACES = "PUSH_NULL" in dis.opmap
"""Since Python 3.11 a callee takes two places: a method and its ``self``, or itself and NULL."""

_NULL_COMES_FIRST = "KW_NAMES" in dis.opmap
"""In Python 3.11 and 3.12 NULL lies below the callee, later above it."""

_CACHE = dis.opmap.get("CACHE", -1)
"""Fills the places behind an instruction in which the interpreter keeps what it learnt."""

_CALLS = frozenset({"CALL", "CALL_KW", "CALL_FUNCTION", "CALL_FUNCTION_KW", "CALL_FUNCTION_EX", "CALL_METHOD"})
_AWAITS = frozenset({"SEND", "YIELD_FROM"})
_ASKS = {
    "SETUP_WITH": "__enter__",
    "BEFORE_WITH": "__enter__",
    "BEFORE_ASYNC_WITH": "__aenter__",
    "GET_ANEXT": "__anext__",
}
_EXITS = {"SETUP_WITH": "__exit__", "BEFORE_WITH": "__exit__", "BEFORE_ASYNC_WITH": "__aexit__"}
_SPECIAL = ("__enter__", "__exit__", "__aenter__", "__aexit__")
"""What the argument of LOAD_SPECIAL stands for."""

_JUMPS = frozenset((*dis.hasjrel, *dis.hasjabs))
_LEAVES = frozenset(
    {
        *("JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"),
        *("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE"),
    }
)
"""Never go on to the next instruction."""

_KEEPS = frozenset(
    {
        *("NOP", "NOT_TAKEN", "EXTENDED_ARG", "RESUME", "PRECALL", "KW_NAMES", "COPY_FREE_VARS", "MAKE_CELL"),
        *("GET_AWAITABLE", "GET_YIELD_FROM_ITER", "GET_AITER", "SETUP_FINALLY", "SETUP_ASYNC_WITH"),
    }
)
"""Leave the stack as it is, or put something on top that may go by the same name."""

_TAKES = ("STORE_", "DELETE_", "POP_", "JUMP_", "FOR_ITER", "END_FOR")
"""So begin the names of those that take something away, and touch nothing below it."""


def _flags(name: str) -> int:
    """How many low bits of the argument are flags, and no part of the index."""
    opcode = dis.opmap[name]
    return 1 if dis.stack_effect(opcode, 0) != dis.stack_effect(opcode, 1) else 0


_GLOBAL_FLAGS, _ATTRIBUTE_FLAGS = _flags("LOAD_GLOBAL"), _flags("LOAD_ATTR")


class _Instruction(NamedTuple):
    begin: int
    end: int
    """Where the next one begins: behind the inline cache."""
    opcode: int
    name: str
    argument: int

    def effect(self, jump: bool) -> int:
        """How many more values (or less) are on the stack afterwards."""
        return dis.stack_effect(self.opcode, self.argument if self.opcode >= dis.HAVE_ARGUMENT else None, jump=jump)

    def target(self) -> int:
        """Where a jump goes."""
        if self.opcode in dis.hasjabs:
            return 2 * self.argument
        return self.end + 2 * (-self.argument if "BACKWARD" in self.name else self.argument)

    def places(self) -> int:
        """How many places a call takes from the stack, with the callee's."""
        # Python 3.11 has two instructions for a call, of which the first does a part of the taking.
        return self.argument + 2 if self.name in ("CALL", "PRECALL") else 1 - self.effect(jump=False)


def _instructions(code: CodeType) -> Iterator[_Instruction]:
    # Not with dis.get_instructions(): it takes ten times as long, and writes out every constant.
    raw = code.co_code
    begin = extended = 0
    while begin < len(raw):
        opcode, end = raw[begin], begin + 2
        while end < len(raw) and raw[end] == _CACHE:
            end += 2
        argument = extended | raw[begin + 1]
        yield _Instruction(begin, end, opcode, dis.opname[opcode], argument)
        extended = argument << 8 if opcode == dis.EXTENDED_ARG else 0
        begin = end


# --- the value stack, with names in place of values --------------------------------------------

_NULL = Path("", False)
_BESIDE_ITERATOR = [_NULL] if dis.opmap["GET_ITER"] >= dis.HAVE_ARGUMENT else []
"""Since Python 3.15 an iterator takes two places as well."""


class _Stack(list["Path | None"]):
    """None is a value without a name; of those there are any number below the bottom."""

    def at(self, depth: int) -> Path | None:
        """The name ``depth`` places from the top, which is 1."""
        return self[-depth] if depth <= len(self) else None

    def replace(self, count: int, *paths: Path | None) -> None:
        if count > 0:
            del self[-count:]
        self.extend(paths)

    def swap(self, depth: int) -> None:
        self[:0] = [None] * (depth - len(self))
        self[-depth], self[-1] = self[-1], self[-depth]

    def rotate(self, depth: int) -> None:
        self[:0] = [None] * (depth - len(self))
        self.insert(len(self) - depth, self.pop())

    def shift(self, instruction: _Instruction, jump: bool = False) -> None:
        """What an instruction does of which no name comes."""
        effect = instruction.effect(jump)
        self.replace(-effect)
        pushes = effect == 1 and instruction.name.startswith(("LOAD_", "BUILD_"))
        if self and not pushes and not instruction.name.startswith(_TAKES):
            self[-1] = None
        self.extend([None] * effect)

    def merged(self, other: _Stack) -> _Stack:
        """What is certain where two ways meet."""
        depth = min(len(self), len(other))
        pairs = zip(self[len(self) - depth :], other[len(other) - depth :])
        return _Stack(one if one == two else None for one, two in pairs)


class Reading:
    """One pass over a code object, forwards.

    One is enough: an operand is computed once, so a jump backwards brings the names that are there already.
    """

    def __init__(self, code: CodeType) -> None:
        self._code = code
        self._stack = _Stack()
        cells = tuple(name for name in code.co_cellvars if name not in code.co_varnames)
        self._locals = code.co_varnames + cells + code.co_freevars
        self._cells = self._locals if _CALLEE_HAS_TWO_PLACES else code.co_cellvars + code.co_freevars

    def callee_at(self, lasti: int) -> Path | None:
        """The callee of the instruction at byte offset ``lasti``, or in whose inline cache that lies."""
        return next((callee for instruction, callee in self.callees() if lasti < instruction.end), None)

    def callees(self) -> Iterator[tuple[_Instruction, Path | None]]:
        """Each instruction with its callee."""
        arriving: dict[int, _Stack] = {}
        left = False
        for instruction in _instructions(self._code):
            arrived = arriving.pop(instruction.begin, None)
            if left:  # where nothing arrives is an exception handler, or what only a jump backwards reaches
                self._stack = _Stack() if arrived is None else arrived
            elif arrived is not None:
                self._stack = self._stack.merged(arrived)
            yield instruction, self._callee_of(instruction)
            if instruction.opcode in _JUMPS and (target := instruction.target()) > instruction.begin:
                there = _Stack(self._stack)
                there.shift(instruction, jump=True)
                arriving[target] = arriving[target].merged(there) if target in arriving else there
            self._run(instruction)
            left = instruction.name in _LEAVES

    def _callee_of(self, instruction: _Instruction) -> Path | None:
        name = instruction.name
        if name in _CALLS or name == "PRECALL":
            return self._called(instruction)
        if name in _AWAITS:
            depth = 2
            while self._stack.at(depth) is _NULL:
                depth += 1
            awaited = self._stack.at(depth)
            return awaited.callee() if awaited else None
        return _attribute(self._stack.at(1), _ASKS[name]) if name in _ASKS else None

    def _called(self, instruction: _Instruction) -> Path | None:
        depth = instruction.places()
        callee = self._stack.at(depth)
        if callee is _NULL:
            callee = self._stack.at(depth - 1)
        return None if callee is _NULL else callee

    def _run(self, instruction: _Instruction) -> None:
        name = instruction.name
        if name in _CALLS:
            self._stack.replace(instruction.places(), _result(self._called(instruction)))
        elif name in _LOADS:
            _LOADS[name](self, instruction.argument)
        elif name in _MOVES:
            _MOVES[name](self._stack, instruction.argument)
        elif name in _EXITS:
            manager = self._stack.at(1)
            self._stack.replace(1, _attribute(manager, _EXITS[name]), _result(_attribute(manager, _ASKS[name])))
        elif name not in _KEEPS:
            self._stack.shift(instruction)

    # --- what brings names ---

    def load_global(self, argument: int) -> None:
        path = Path(self._code.co_names[argument >> _GLOBAL_FLAGS], True)
        with_null = (_NULL, path) if _NULL_COMES_FIRST else (path, _NULL)
        self._stack.extend(with_null if argument & _GLOBAL_FLAGS else (path,))

    def load_name(self, argument: int) -> None:
        name = self._code.co_names[argument]
        self._stack.append(Path(name, self._code.co_name == "<module>" or name not in self._stored()))

    def _stored(self) -> set[str]:
        """The names that the body of a class gives to something; these are not the module's."""
        stores = (i.argument for i in _instructions(self._code) if i.name == "STORE_NAME")
        return {self._code.co_names[argument] for argument in stores}

    def load_cell(self, argument: int) -> None:
        self._stack.append(Path(self._cells[argument], False))

    def load_local(self, argument: int) -> None:
        name = self._locals[argument]
        self._stack.append(Path(name, False) if not name.startswith(".") else None)  # ".0" is the compiler's own

    def load_two_locals(self, argument: int) -> None:
        self.load_local(argument >> 4)
        self.load_local(argument & 15)

    def store_and_load_local(self, argument: int) -> None:
        self._stack.replace(1)
        self.load_local(argument & 15)

    def load_constant(self, argument: int) -> None:
        kind = type(self._code.co_consts[argument])
        self._stack.append(Path(kind.__name__, False) if kind is str or kind is bytes else None)

    def load_attribute(self, argument: int) -> None:
        path = _attribute(self._stack.at(1), self._code.co_names[argument >> _ATTRIBUTE_FLAGS])
        self._stack.replace(1, path, *((None,) if argument & _ATTRIBUTE_FLAGS else ()))

    def load_method(self, argument: int) -> None:
        self._stack.replace(1, _attribute(self._stack.at(1), self._code.co_names[argument]), None)

    def load_super_attribute(self, argument: int) -> None:
        path = Path("super", True, ("()", f".{self._code.co_names[argument >> 2]}"))
        self._stack.replace(3, path, *((None,) if argument & 1 else ()))

    def load_special(self, argument: int) -> None:
        self._stack.replace(1, _attribute(self._stack.at(1), _SPECIAL[argument]), None)

    def load_next(self, argument: int) -> None:
        self._stack.append(_result(_attribute(self._stack.at(1), "__anext__")))


def _attribute(path: Path | None, name: str) -> Path | None:
    return path.attribute(name) if path else None


def _result(path: Path | None) -> Path | None:
    return path.result() if path else None


_LOADS: dict[str, Callable[[Reading, int], None]] = {
    "LOAD_GLOBAL": Reading.load_global,
    "LOAD_NAME": Reading.load_name,
    "LOAD_DEREF": Reading.load_cell,
    "LOAD_FAST": Reading.load_local,
    "LOAD_FAST_CHECK": Reading.load_local,
    "LOAD_FAST_BORROW": Reading.load_local,
    "LOAD_FAST_LOAD_FAST": Reading.load_two_locals,
    "LOAD_FAST_BORROW_LOAD_FAST_BORROW": Reading.load_two_locals,
    "STORE_FAST_LOAD_FAST": Reading.store_and_load_local,
    "LOAD_CONST": Reading.load_constant,
    "LOAD_ATTR": Reading.load_attribute,
    "LOAD_METHOD": Reading.load_method,
    "LOAD_SUPER_ATTR": Reading.load_super_attribute,
    "LOAD_SPECIAL": Reading.load_special,
    "GET_ANEXT": Reading.load_next,
}

_MOVES: dict[str, Callable[[_Stack, int], None]] = {
    "PUSH_NULL": lambda stack, _: stack.append(_NULL),
    "GET_ITER": lambda stack, _: stack.extend(_BESIDE_ITERATOR),
    "COPY": lambda stack, depth: stack.append(stack.at(depth)),
    "SWAP": _Stack.swap,
    "DUP_TOP": lambda stack, _: stack.append(stack.at(1)),
    "DUP_TOP_TWO": lambda stack, _: stack.extend((stack.at(2), stack.at(1))),
    "ROT_TWO": lambda stack, _: stack.rotate(2),
    "ROT_THREE": lambda stack, _: stack.rotate(3),
    "ROT_FOUR": lambda stack, _: stack.rotate(4),
    "ROT_N": _Stack.rotate,
}
