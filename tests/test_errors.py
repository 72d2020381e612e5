"""Every error has its place in one tree, and says what was wrong, the value, and what to do."""

from __future__ import annotations

import copy
import inspect
import pickle
import re

import pytest

from loopwatch import errors
from loopwatch.errors import (
    AlreadyInstalled,
    Blocked,
    LoopwatchError,
    MissingExtra,
    NothingMeasured,
    NotInstalled,
    SelfCheckFailed,
    SettingsError,
)

DRAWN = re.compile(r"[├└]── (\w+) +\(also an? (\w+)\)")

EXAMPLES = [
    SettingsError("threshold", -1, "a number of seconds from 0.001 to 1e9"),
    AlreadyInstalled("threshold=0.1", "the default settings"),
    NotInstalled("serve_metrics()"),
    SelfCheckFailed("asyncio.Handle._run", "no step was counted"),
    MissingExtra("Prometheus metrics", "prometheus_client", "prometheus"),
    Blocked((), "Event loop 'main' was held."),
    NothingMeasured("no event loop ran a step"),
]
EACH_ERROR = pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)


def classes() -> dict[str, type]:
    return dict(inspect.getmembers(errors, inspect.isclass))


def test_the_tree_in_the_docstring_is_the_real_tree() -> None:
    """What the module draws is what it defines: each class below the root, with its builtin beside it."""
    drawn = dict(DRAWN.findall(errors.__doc__ or ""))
    defined = {
        name: [base.__name__ for base in kind.__bases__ if base is not LoopwatchError]
        for name, kind in classes().items()
        if kind is not LoopwatchError
    }
    assert {name: [builtin] for name, builtin in drawn.items()} == defined
    assert all(issubclass(kind, LoopwatchError) for kind in classes().values())


def test_every_class_is_exported() -> None:
    """``__all__`` names each class of the module and nothing else."""
    assert set(errors.__all__) == set(classes())


def test_there_is_an_example_of_every_error() -> None:
    """The tests of this file look at each class below the root."""
    assert {type(error).__name__ for error in EXAMPLES} == set(classes()) - {"LoopwatchError"}


@pytest.mark.parametrize(
    ("error", "wrong", "value", "cure"),
    [
        (EXAMPLES[0], "threshold", "-1", "must be a number of seconds from 0.001 to 1e9"),
        (
            EXAMPLES[1],
            "already installed",
            "threshold=0.1; this call asks for the default settings",
            "loopwatch.uninstall()",
        ),
        (EXAMPLES[2], "needs an installed watch", "serve_metrics()", "loopwatch.install()"),
        (EXAMPLES[3], "did not take", "asyncio.Handle._run", "Install loopwatch before"),
        (
            EXAMPLES[4],
            "not installed",
            "For Prometheus metrics loopwatch needs prometheus_client",
            "pip install 'loopwatch[prometheus]'",
        ),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else None,
)
def test_a_message_says_what_was_wrong_the_value_and_what_to_do(
    error: LoopwatchError, wrong: str, value: str, cure: str
) -> None:
    """A message can be acted upon without the manual."""
    assert wrong in str(error)
    assert value in str(error)
    assert cure in str(error)


@EACH_ERROR
def test_an_error_survives_the_way_out_of_a_worker_process(error: LoopwatchError) -> None:
    """Pickled and copied errors are of the same class, with the same message and facts."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


def test_a_settings_error_keeps_its_parts() -> None:
    """Setting, value and what is allowed can be read without taking the message apart."""
    error = SettingsError("threshold", "soon", "a number")
    assert (error.setting, error.value, error.allowed) == ("threshold", "soon", "a number")
    assert (error.hint, error.entry) == ("", False)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (SettingsError("threshold", "soon", "a number"), "threshold is 'soon', but must be a number."),
        (
            SettingsError("own_code", "shop", "a list of names", "Write own_code=['shop']."),
            "own_code is 'shop', but must be a list of names. Write own_code=['shop'].",
        ),
        (
            SettingsError("own_code", 3, "a name", entry=True),
            "own_code has the entry 3, which must be a name.",
        ),
        (
            SettingsError("LOOPWATCH_TRESHOLD", "1", "", "Did you mean LOOPWATCH_THRESHOLD?"),
            "LOOPWATCH_TRESHOLD is '1', but there is no such setting. Did you mean LOOPWATCH_THRESHOLD?",
        ),
    ],
    ids=["a value", "with a hint", "an entry", "no such setting"],
)
def test_the_message_of_a_settings_error_is_a_sentence(error: SettingsError, message: str) -> None:
    """Whatever is wrong: the value, one entry of a list, or the name itself."""
    assert str(error) == message


def test_a_failed_self_check_may_have_another_cure() -> None:
    """Where no other tool is to blame, nobody is told to look for one."""
    error = SelfCheckFailed("threads", "can't start new thread", "Allow this process two more threads.")
    assert str(error) == (
        "the hook on threads did not take: can't start new thread. Nothing was left installed. "
        "Allow this process two more threads."
    )


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no repr for you")


HOPELESS_VALUES = [
    (Unshowable(), "Unshowable"),
    (10**5000, "int"),  # too many digits for the interpreter to print
    (list(range(100_000)), "[0, 1, 2"),
]


@pytest.mark.parametrize(("value", "shown"), HOPELESS_VALUES, ids=["raises", "huge", "long"])
def test_a_value_that_cannot_be_shown_is_still_named(value: object, shown: str) -> None:
    """A value whose repr raises or never ends neither hides the error nor floods the log."""
    message = str(SettingsError("threshold", value, "a number"))
    assert message.startswith("threshold is ")
    assert message.endswith(", but must be a number.")
    assert len(message) < 300
    assert shown in message


def test_a_missing_extra_is_caught_as_an_import_error() -> None:
    """Code that guards an optional import with ``except ImportError`` also guards ours."""
    with pytest.raises(ImportError, match="pip install"):
        raise EXAMPLES[4]
