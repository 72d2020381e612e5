"""A module is awaited without being imported: whoever loads it, and nothing of the waiting is left."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch.observe.jobs.awaited_module import AwaitedModule

NAME = "made_package.inner.awaited"
GENUINE = {"path", "_loaders", "_path_mtime", "_path_cache", "_relaxed_path_cache"}
"""What the finder of a folder holds by itself."""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A package that has not been imported; ``told`` holds what the module had of its own when it was told of."""
    inner = tmp_path / "made_package" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").write_text("")
    (inner / "__init__.py").write_text("")
    (inner / "awaited.py").write_text("first = 1\nlast = 2\n")
    (inner / "other.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    told: list[Any] = []
    awaited = AwaitedModule(NAME, lambda: told.append(vars(sys.modules[NAME]).get("last")))
    yield SimpleNamespace(folder=str(inner), awaited=awaited, told=told)
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_package"]:
        del sys.modules[name]


def kept_in(folder: str) -> set[str]:
    """What stands in the finder of the folder that Python has not put there."""
    return set(vars(sys.path_importer_cache[folder])) - GENUINE


def test_it_is_told_once_when_all_of_the_module_is_there(package: Any) -> None:
    """Its code has run, nobody has it yet; the loader and the finder are as they were."""
    package.awaited.put()
    assert "made_package" not in sys.modules and package.awaited.awaited
    importlib.import_module("made_package.inner.other")
    assert package.told == []
    module = importlib.import_module(NAME)
    assert package.told == [2]
    assert "exec_module" not in vars(module.__loader__)
    package.awaited.take_out()
    assert kept_in(package.folder) == set() and not package.awaited.awaited
    importlib.reload(module)
    assert package.told == [2]


def test_nothing_is_told_after_it_is_taken_out(package: Any) -> None:
    """It leaves the finder of the folder as if it had not been there."""
    package.awaited.put()
    package.awaited.take_out()
    package.awaited.take_out()
    assert kept_in(package.folder) == set()
    importlib.import_module(NAME)
    assert package.told == []


def test_a_module_that_fails_is_awaited_on(package: Any) -> None:
    """Its import raises what it would; the next that succeeds is told."""
    code = Path(package.folder) / "awaited.py"
    code.write_text("raise ValueError('not yet')\n")
    package.awaited.put()
    with pytest.raises(ValueError, match="not yet"):
        importlib.import_module(NAME)
    assert package.told == []
    code.write_text("last = 'at last, and of another size'\n")
    importlib.import_module(NAME)
    assert package.told == ["at last, and of another size"]
    package.awaited.take_out()


def test_who_only_asks_where_it_is_loads_nothing(package: Any) -> None:
    """Tools that look for modules find the same as ever."""
    before = [each.name for each in pkgutil.iter_modules([package.folder])]
    package.awaited.put()
    spec = importlib.util.find_spec(NAME)
    assert spec is not None and spec.origin == str(Path(package.folder) / "awaited.py")
    assert [each.name for each in pkgutil.iter_modules([package.folder])] == before == ["awaited", "other"]
    importlib.invalidate_caches()
    assert (NAME in sys.modules, package.told) == (False, [])
    package.awaited.take_out()


def test_a_package_that_is_not_there_is_not_awaited() -> None:
    """Most services have no AnyIO: nothing is put anywhere."""
    awaited = AwaitedModule("no_such_package.inner.module", lambda: None)
    awaited.put()
    assert not awaited.awaited
    awaited.take_out()


def test_two_that_wait_for_one_do_not_disturb_each_other(package: Any) -> None:
    """The second finds the folder taken and leaves it."""
    again = AwaitedModule(NAME, lambda: package.told.append("again"))
    package.awaited.put()
    again.put()
    assert not again.awaited
    again.take_out()
    importlib.import_module(NAME)
    assert package.told == [2]
    package.awaited.take_out()


@pytest.mark.needs("wrapt")
@pytest.mark.parametrize("first", [True, False], ids=["before wrapt's", "after wrapt's"])
def test_hooks_of_wrapt_are_told_as_well(package: Any, first: bool) -> None:
    """Agents that trace put theirs in by ``wrapt``: each of both is told, whoever came first."""
    import wrapt

    if first:
        package.awaited.put()
    wrapt.register_post_import_hook(lambda module: package.told.append(module.__name__), NAME)
    if not first:
        package.awaited.put()
    importlib.import_module(NAME)
    assert package.told == [2, NAME]
    package.awaited.take_out()
    assert kept_in(package.folder) == set()
