"""An installation has the accelerator where there is a compiler, does without where there is none, and never half."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.implementations import accelerator
from tests.programs import ROOT, run

pytest.importorskip("setuptools", minversion="77")  # what the build needs, so that nothing is fetched

SWITCHES = ("CIBUILDWHEEL", "LOOPWATCH_NO_EXTENSIONS", "LOOPWATCH_REQUIRE_C")
ACCELERATORS = {"_steps_c": "stopwatch", "_calls_c": "uvloops", "_jobs_c": "jobs", "_rest_c": "resting"}
"""Each extension, and the room that it belongs to."""
NO_COMPILER = {"CC": "/nowhere/cc", "LDSHARED": "/nowhere/cc"}


def build(what: str, source: Path, into: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call the build backend in a process of its own, as a frontend does, with what is installed."""
    given = {name: value for name, value in os.environ.items() if name not in SWITCHES}
    program = f"import setuptools.build_meta as backend; backend.build_{what}({str(into)!r})"
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=source,
        env={**given, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked; made from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "_loopwatch_pytest.py"):
        shutil.copy(ROOT / name, copy)
    left_out = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    shutil.copytree(ROOT / "loopwatch", copy / "loopwatch", ignore=left_out)
    done = build("sdist", copy, folder)
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        safely: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        packed.extractall(folder, **safely)
    (unpacked,) = (each for each in folder.iterdir() if each.name.startswith("loopwatch-") and each.is_dir())
    return unpacked


def wheel(sdist: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    copy = folder / "source"
    shutil.copytree(sdist, copy)
    return build("wheel", copy, folder, **environment)


def installed(folder: Path) -> tuple[set[str], str]:
    """The names of what is in the wheel of ``folder``, and which stopwatch it uses when it is unpacked."""
    (made,) = folder.glob("*.whl")
    with zipfile.ZipFile(made) as packed:
        names = {name.rpartition("/")[2] for name in packed.namelist()}
        packed.extractall(folder / "site")
    program = (
        "import loopwatch, loopwatch.observe.stopwatch.steps as steps; print(loopwatch.__file__, steps.IMPLEMENTATION)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, 'site'); {program}"],
                          cwd=folder, capture_output=True, text=True, timeout=60, check=True)  # fmt: skip
    file, _, used = done.stdout.strip().rpartition(" ")
    assert file.startswith(("site", str(folder)))
    return names, used


def compiled(names: set[str]) -> list[str]:
    return [name for name in names if name.partition(".")[0] in ACCELERATORS and not name.endswith(("pyi", "c"))]


def test_the_sources_are_complete(sdist: Path) -> None:
    """All of the C files, with their headers, and their stubs are in, and nothing that was built."""
    observe = sdist / "loopwatch" / "observe"
    found = {file.name for file in observe.glob("*/*")}
    assert found >= {"steps.py", "_steps_py.py", "_calls_py.py", *(f"{name}.pyi" for name in ACCELERATORS)}
    assert compiled(found) == []
    for folder, few in {
        "stopwatch": {"module.c", "module.h"},
        "uvloops": {"calls.c", "calls.h"},
        "jobs": {"entry.c", "jobs.h"},
        "resting": {"bell.c", "rest.h"},
    }.items():
        in_c = {file.name for file in (observe / folder).glob("*.[ch]")}
        assert in_c == {file.name for file in (ROOT / "loopwatch" / "observe" / folder).glob("*.[ch]")}
        assert few <= in_c


@pytest.mark.needs(programs=("cc",))
def test_with_a_compiler_the_accelerator_is_built_and_used(sdist: Path, tmp_path: Path) -> None:
    """From the sources alone; a build that must have it succeeds as well."""
    accelerator()
    done = wheel(sdist, tmp_path, LOOPWATCH_REQUIRE_C="1")
    assert done.returncode == 0, done.stderr
    names, used = installed(tmp_path)
    assert len(compiled(names)) == len(ACCELERATORS)
    assert {"py.typed", "_loopwatch_pytest.py", "entry_points.txt", *(f"{name}.pyi" for name in ACCELERATORS)} <= names
    assert [name for name in names if name.endswith((".c", ".h"))] == []
    assert used == "c"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the names of a library are shown otherwise")
@pytest.mark.needs(programs=("nm",))
@pytest.mark.parametrize("name", ACCELERATORS)
def test_an_accelerator_shows_nothing_but_its_module(name: str) -> None:
    """Its files call one another by names that no other library of the process can meet."""
    accelerator()
    module = importlib.import_module(f"loopwatch.observe.{ACCELERATORS[name]}.{name}")
    shown = subprocess.run(
        ["nm", "-D", "--defined-only", str(module.__file__)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    names = [line.split()[-1] for line in shown.stdout.splitlines()]
    assert [name for name in names if name not in ("_init", "_fini")] == [f"PyInit_{name}"]


def test_without_a_compiler_it_is_left_out(sdist: Path, tmp_path: Path) -> None:
    """The installation succeeds and times in Python."""
    done = wheel(sdist, tmp_path, **NO_COMPILER)
    assert done.returncode == 0, done.stderr
    names, used = installed(tmp_path)
    assert (compiled(names), used) == ([], "python")


def test_it_can_be_left_out_on_purpose(sdist: Path, tmp_path: Path) -> None:
    """The wheel is then one for every Python and platform."""
    done = wheel(sdist, tmp_path, LOOPWATCH_NO_EXTENSIONS="1")
    assert done.returncode == 0, done.stderr
    names, used = installed(tmp_path)
    assert (compiled(names), used) == ([], "python")
    (made,) = tmp_path.glob("*.whl")
    assert made.name.endswith("-py3-none-any.whl")


@pytest.mark.parametrize("switch", ["CIBUILDWHEEL", "LOOPWATCH_REQUIRE_C"])
def test_a_release_is_never_without(sdist: Path, tmp_path: Path, switch: str) -> None:
    """There a failure to compile fails the build."""
    done = wheel(sdist, tmp_path, **NO_COMPILER, **{switch: "1"})
    assert done.returncode != 0
    assert list(tmp_path.glob("*.whl")) == []


# --- at import ---------------------------------------------------------------------------------

USED = "from loopwatch.observe.stopwatch.steps import IMPLEMENTATION, how_timed; print(IMPLEMENTATION, how_timed())"


def test_it_can_be_turned_off_at_import() -> None:
    """And that is said; the variable is no setting, so the watch does not stumble over it."""
    done = run(
        USED + "; import loopwatch; loopwatch.install(reporters=[], prometheus=False)", LOOPWATCH_NO_EXTENSIONS="1"
    )
    assert (done.stdout, done.stderr) == ("python in Python: LOOPWATCH_NO_EXTENSIONS is set\n", "")


@pytest.mark.parametrize("off", ["", "0", "false", "no", "off"])
def test_turned_off_means_on(off: str) -> None:
    """What means no leaves it on."""
    accelerator()
    assert run(USED, LOOPWATCH_NO_EXTENSIONS=off).stdout == "c in C\n"


HIDDEN = "import sys; sys.modules['loopwatch.observe.stopwatch._steps_c'] = None; "


def test_one_that_cannot_be_loaded_is_done_without() -> None:
    """With the reason in the coverage."""
    done = run(HIDDEN + USED, LOOPWATCH_NO_EXTENSIONS="")
    assert done.stdout.startswith("python in Python: the accelerator cannot be loaded (")


@pytest.mark.parametrize("more", ["", "no extensions"])
def test_it_can_be_required(more: str) -> None:
    """Where it is missing, or turned off, the import fails, and says why."""
    done = run(HIDDEN + USED, LOOPWATCH_REQUIRE_C="1", LOOPWATCH_NO_EXTENSIONS="1" if more else "")
    assert done.returncode == 1
    # Of the accelerators the one that is asked for first complains: where none was built, that of jobs.
    assert re.search(r"ImportError: LOOPWATCH_REQUIRE_C is set, and (the stopwatch|jobs) in C cannot be ", done.stderr)
    accelerator()
    assert run(USED, LOOPWATCH_REQUIRE_C="1").stdout == "c in C\n"


SUB_INTERPRETER = """
import loopwatch.observe.stopwatch.steps as steps
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
program = '''
import sys
sys.path[:0] = {path}
from loopwatch.observe.stopwatch.steps import how_timed
with open({file!r}, "w") as file:
    file.write(how_timed())
'''
inner = interpreters.create({legacy})
failed = (getattr(interpreters, "exec", None) or interpreters.run_string)(inner, program)
print(failed, steps.IMPLEMENTATION)
"""


@pytest.mark.parametrize("legacy", [False, True], ids=["isolated", "legacy"])
def test_another_interpreter_of_the_process_does_without(tmp_path: Path, legacy: bool) -> None:
    """The accelerator serves the main one; in others loopwatch times in Python, with the reason."""
    accelerator()
    if not _has_interpreters():
        pytest.skip("this Python has no module for them")
    asked = ("'legacy'" if sys.version_info >= (3, 13) else "isolated=False") if legacy else ""
    file = tmp_path / "told"
    path = [str(ROOT)]
    program = SUB_INTERPRETER.replace("{path}", repr(path)).replace("{file!r}", repr(str(file)))
    done = run(program.replace("{legacy}", asked))
    assert done.stdout == "None c\n", done.stderr
    assert file.read_text().startswith("in Python: the accelerator cannot be loaded (")


def _has_interpreters() -> bool:
    from importlib.util import find_spec

    return any(find_spec(name) is not None for name in ("_interpreters", "_xxsubinterpreters"))
