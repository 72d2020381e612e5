"""Finds a Python interpreter of a given version on this machine, or makes one.

Looked for in this order: pyenv's versions, ``python3.X`` on PATH, and what an earlier run made. What
is nowhere is made from Debian's own packages, where the machine is a Debian: they are taken from the
mirror that the machine is configured with, from a newer suite, and unpacked into a folder of the
user's cache. Nothing is installed into the system but ``patchelf``, and that only as root.

As a program: ``python scripts/pythons.py 3.15`` prints the interpreter's path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from debian_suite import FOLDER, NotToBeHad, apt_get, output, run

CACHE = FOLDER / "pythons"


def find_or_make(version: str) -> Path:
    """An interpreter that runs and is of ``version`` (such as ``3.14``). Raises NotToBeHad."""
    for candidate in _candidates(version):
        if _is(candidate, version):
            return candidate
    return _make(version)


def _candidates(version: str) -> Iterator[Path]:
    yield from sorted(_pyenv_versions(version), key=lambda path: _patch_level(path.parent.parent.name), reverse=True)
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder, f"python{version}")
    if _headers(CACHE / version, version).exists():  # one made without them cannot compile anything
        yield _made(version)


def _pyenv_versions(version: str) -> Iterator[Path]:
    root = os.environ.get("PYENV_ROOT")
    if not root and shutil.which("pyenv"):
        root = output("pyenv", "root")
    # The pattern leaves out free-threaded builds (3.13.0t) and release candidates.
    for folder in Path(root or Path.home() / ".pyenv").glob(f"versions/{version}.*"):
        if re.fullmatch(rf"{re.escape(version)}\.\d+", folder.name):
            yield folder / "bin" / "python"


def _patch_level(version: str) -> int:
    return int(version.rpartition(".")[2])


def _is(python: Path, version: str) -> bool:
    """Whether ``python`` runs and says that it is ``version``: pyenv has shims for versions that are not selected."""
    if not python.exists():
        return False
    told = subprocess.run([python, "-VV"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return told.returncode == 0 and told.stdout.startswith(f"Python {version}.")


# --- from Debian's packages --------------------------------------------------------------------


def _made(version: str) -> Path:
    return CACHE / version / "usr" / "bin" / f"python{version}"


def _headers(tree: Path, version: str) -> Path:
    return tree / "usr" / "include" / f"python{version}"


def _make(version: str) -> Path:
    _require_tools(version)
    CACHE.mkdir(parents=True, exist_ok=True)
    # Beside its final place, so that an interrupted run leaves nothing that looks finished.
    with tempfile.TemporaryDirectory(prefix=f"{version}-", dir=CACHE) as scratch:
        packages = _download(version, Path(scratch, "apt"))
        tree = Path(scratch, "tree")
        # Of what is needed to compile, only Python's own headers: the rest comes from the machine's compiler.
        for package in (each for each in packages if "-dev_" not in each.name or each.name.startswith("libpython")):
            run("dpkg-deb", "-x", str(package), str(tree))
        _relocate(tree, version)
        shutil.rmtree(CACHE / version, ignore_errors=True)
        tree.rename(CACHE / version)
    if not _is(_made(version), version):
        raise NotToBeHad(f"Python {version} was unpacked to {CACHE / version}, but does not run")
    return _made(version)


def _require_tools(version: str) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise NotToBeHad(
                f"no Python {version} in pyenv or on PATH, and without {tool} it cannot be taken from Debian"
            )
    if shutil.which("patchelf"):
        return
    if os.geteuid() != 0:
        raise NotToBeHad(f"making Python {version} needs patchelf: apt-get install patchelf")
    run("apt-get", "-qq", "update")
    run("apt-get", "-qq", "-y", "--no-install-recommends", "install", "patchelf")


def _download(version: str, state: Path) -> list[Path]:
    """Python and all it depends on, down to the C library, as apt resolves it for an empty machine."""
    # Wheels written in C++ expect the machine to have libstdc++; Python itself does not need it.
    packages = (f"python{version}", f"libpython{version}-dev", "libstdc++6")
    run(*apt_get(state, "deb"), "-y", "--no-install-recommends", "--download-only", "install", *packages)
    return sorted((state / "cache" / "archives").glob("*.deb"))


def _relocate(tree: Path, version: str) -> None:
    """Point the interpreter at its own C library, shared objects and headers: the machine's may be older."""
    loader = _only(tree, "usr/lib*/ld-linux*.so.*")
    libraries = _only(tree, "usr/lib/*/libc.so.6").parent
    final = CACHE / version
    # Debian's own looks for that of the architecture where the system has it.
    shutil.copy(_only(tree, f"usr/include/*-linux-*/python{version}/pyconfig.h"), _headers(tree, version))
    run(
        "patchelf",
        "--set-interpreter",
        str(final / loader.relative_to(tree)),
        "--force-rpath",
        "--set-rpath",
        str(final / libraries.relative_to(tree)),
        str(tree / "usr" / "bin" / f"python{version}"),
    )


def _only(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    if len(found) != 1:
        raise NotToBeHad(f"expected one {pattern} in the unpacked packages, found {len(found)}")
    return found[0]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not re.fullmatch(r"3\.\d+", sys.argv[1]):
        sys.exit("usage: pythons.py 3.X")
    try:
        print(find_or_make(sys.argv[1]))
    except NotToBeHad as why:
        sys.exit(f"{sys.argv[1]}: {why}")
