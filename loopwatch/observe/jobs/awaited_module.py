"""Tells when one module of a package has just been loaded, before whoever imported it can use it.

No finder is put before those of ``sys.meta_path``, where each import of the process would meet it, and where nothing
can be taken out again while another thread goes through that list. The finder that Python itself has for the one
folder of the module is asked only for what lies there: that object is given a ``find_spec`` of its own for a while.
"""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Callable
from importlib.machinery import FileFinder, ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any


class AwaitedModule:
    """Calls ``loaded()`` in the thread that loads the module, right after its code has run.

    ``name`` is its full name, of three parts or more. Neither it nor its package is imported by this. What is not
    loaded from a plain file, or by another tool's importer, comes unnoticed.
    """

    def __init__(self, name: str, loaded: Callable[[], object]) -> None:
        self._name = name
        self._loaded = loaded
        self._finder: FileFinder | None = None
        self._find: Any = None

    @property
    def awaited(self) -> bool:
        """Whether it would be noticed."""
        return self._finder is not None

    def put(self) -> None:
        """Wait for it from now on, where its folder can be told."""
        folder = _folder(self._name)
        finder = None if folder is None else pkgutil.get_importer(folder)
        if type(finder) is not FileFinder or "find_spec" in vars(finder):
            return  # a zip archive, or another tool's
        genuine = finder.find_spec

        def find_spec(name: str, target: ModuleType | None = None) -> ModuleSpec | None:
            spec = genuine(name, target)
            if name == self._name and spec is not None and type(spec.loader) is SourceFileLoader:
                self._wait_in(spec.loader)
            return spec

        self._finder, self._find = finder, find_spec
        vars(finder)["find_spec"] = find_spec

    def take_out(self) -> None:
        """Wait no more; what another tool has put there since is left."""
        finder, self._finder = self._finder, None
        if finder is not None and vars(finder).get("find_spec") is self._find:
            del vars(finder)["find_spec"]

    def _wait_in(self, loader: SourceFileLoader) -> None:
        genuine = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            vars(loader).pop("exec_module", None)
            genuine(module)
            self._loaded()

        vars(loader)["exec_module"] = exec_module


def _folder(name: str) -> str | None:
    """Where the module lies, by where its topmost package lies; that may not have been imported."""
    package, *between, _ = name.split(".")
    loaded = sys.modules.get(package)
    spec = PathFinder.find_spec(package) if loaded is None else None
    places = getattr(loaded, "__path__", None) if spec is None else spec.submodule_search_locations
    return os.path.join(next(iter(places)), *between) if places else None


__all__ = ["AwaitedModule"]
