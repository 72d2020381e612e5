"""Who is charged: the user's own code, wherever it is installed, and nobody else's."""

from __future__ import annotations

import asyncio
import importlib
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

import pytest

import loopwatch
from loopwatch.explain import culprit
from loopwatch.explain.culprit import (
    CACHED_FILES,
    OwnCode,
    Places,
    charged,
    find_culprit,
    first_import,
    import_culprit,
    in_package,
)
from loopwatch.facts import RawFrame

VENV = "/srv/shop/.venv/lib/python3.12"
PLACES = Places(
    stdlib=("/usr/lib/python3.12",),
    installed=("/usr/lib/python3.12/site-packages", "/opt/vendored"),
    loopwatch=(f"{VENV}/site-packages/loopwatch",),
)
OWN = OwnCode(places=PLACES)


def frame(module: str, file: str, function: str = "work", lasti: int = 0) -> RawFrame:
    """A frame of a function of that name in that file."""
    code = compile(f"def {function}(): return 1", file, "exec")
    inner = next(each for each in code.co_consts if isinstance(each, CodeType))
    return RawFrame(inner, lasti, module)


def body(module: str, file: str) -> RawFrame:
    """A frame of a module that is being run."""
    return RawFrame(compile("work = 1", file, "exec"), 0, module)


VIEWS = frame("shop.views", "/srv/shop/views.py")
MODELS = frame("shop.models", "/srv/shop/models.py")
HTTP = frame("requests.api", f"{VENV}/site-packages/requests/api.py")
POOL = frame("urllib3.pool", f"{VENV}/site-packages/urllib3/pool.py")
LOOP = frame("asyncio.events", "/usr/lib/python3.12/asyncio/events.py")
SOCKET = frame("socket", "/usr/lib/python3.12/socket.py")
OURS = frame("loopwatch.observe.jobs.job", f"{VENV}/site-packages/loopwatch/observe/jobs/job.py")
FIND = frame("importlib._bootstrap", "<frozen importlib._bootstrap>", "_find_and_load")
IMPORT_MODULE = frame("importlib", "/usr/lib/python3.12/importlib/__init__.py", "import_module")

# --- whose code a file is ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("/srv/shop/views.py", "own"),
        ("views.py", "own"),
        ("/srv/shop/.venv/bin/serve", "own"),
        # An environment in the project, and what is installed for the user or by the system.
        (f"{VENV}/site-packages/requests/api.py", "library"),
        ("/root/.local/lib/python3.12/site-packages/requests/api.py", "library"),
        ("/usr/lib/python3/dist-packages/requests/api.py", "library"),
        ("/srv/shop/__pypackages__/3.12/lib/requests/api.py", "library"),
        (".venv/lib/python3.12/site-packages/requests/api.py", "library"),
        ("/opt/vendored/requests/api.py", "library"),
        # Folders that are only called nearly so.
        ("/srv/my-site-packages/shop/views.py", "own"),
        ("/srv/site-packages.old/shop/views.py", "own"),
        ("/opt/vendored-by-us/shop/views.py", "own"),
        ("/srv/shop/site-packages", "library"),
        # The standard library, and a project beside it.
        ("/usr/lib/python3.12/socket.py", "stdlib"),
        ("/usr/lib/python3.12/asyncio/events.py", "stdlib"),
        ("/usr/lib/python3.12/asyncio/../socket.py", "stdlib"),
        ("/usr/lib/python3.12/site-packages/requests/api.py", "library"),
        ("/usr/lib/python3.12-shop/views.py", "own"),
        ("/usr/lib/python3.12", "own"),
        # loopwatch, and what is only called so.
        (f"{VENV}/site-packages/loopwatch/watch.py", "loopwatch"),
        (f"{VENV}/site-packages/loopwatch_extras/watch.py", "library"),
        ("/srv/loopwatch/views.py", "own"),
        # Code of the interpreter's own.
        ("<frozen importlib._bootstrap>", "stdlib"),
        ("<frozen os>", "stdlib"),
    ],
)
def test_a_file_belongs_to_whom_its_place_says(file: str, kind: str) -> None:
    """Own is what is neither installed, nor of the standard library, nor loopwatch's."""
    assert OWN.kind(file, "some.module") == kind
    assert OWN.is_own(file, "some.module") == (kind == "own")


def test_declared_modules_are_own_wherever_they_are_installed() -> None:
    """``own_code`` names modules with all below them, and not what only begins like them."""
    own = OwnCode(["shop", "tools.jobs"], PLACES)
    file = f"{VENV}/site-packages/shop/views.py"
    for module in ("shop", "shop.views", "shop.views.cart", "tools.jobs", "tools.jobs.late"):
        assert own.kind(file, module) == "own", module
    for module in ("shopping", "shop_views", "tools", "tools.jobsearch", "my.shop", ""):
        assert own.kind(file, module) == "library", module
    assert own.kind("/usr/lib/python3.12/shop.py", "shop") == "own"
    assert own.kind("/srv/shop/other.py", "other") == "own"


def test_loopwatch_is_never_own() -> None:
    """Not even where it is declared: nobody is to be charged with being watched."""
    own = OwnCode(["loopwatch"], PLACES)
    assert own.kind(OURS.code.co_filename, OURS.module) == "loopwatch"
    assert OwnCode(["loopwatch"]).kind(loopwatch.__file__, "loopwatch") == "loopwatch"


class Sealed(ModuleType):
    """A module that must not be asked: it would load itself."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("the module was asked")


@pytest.mark.parametrize("kind", [ModuleType, Sealed])
@pytest.mark.parametrize(
    ("made_in", "expected"),
    [
        ("/srv/shop/models.py", "own"),
        (f"{VENV}/site-packages/attr/_make.py", "library"),
        ("/usr/lib/python3.12/collections/__init__.py", "stdlib"),
        (None, "own"),
        (Path("/usr/lib/python3.12/x.py"), "own"),
    ],
)
def test_generated_code_belongs_to_the_module_it_was_made_in(
    kind: type[ModuleType], made_in: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``<string>`` of dataclasses, ``<attrs generated init>``, templates; without a home it is the user's."""
    module = kind("generated_for_culprit")
    vars(ModuleType)["__dict__"].__get__(module)["__file__"] = made_in
    monkeypatch.setitem(sys.modules, "generated_for_culprit", module)
    for file in ("<string>", "<attrs generated init shop.Cart>", "<decorator-gen-1>"):
        assert OWN.kind(file, "generated_for_culprit") == expected


def test_typed_code_is_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a prompt, also at that of ``python -m asyncio``, whose ``__main__`` is of the standard library."""
    main = ModuleType("__main__")
    main.__file__ = "/usr/lib/python3.12/asyncio/__main__.py"
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setitem(sys.modules, "odd_for_culprit", object())
    for file, module in [("<stdin>", "__main__"), ("<string>", "gone"), ("<stdin>", ""), ("<x>", "odd_for_culprit")]:
        assert OWN.kind(file, module) == "own"


def test_answers_are_remembered_and_bounded() -> None:
    """A service that generates files without end does not fill the memory."""
    own = OwnCode(places=PLACES)
    for number in range(CACHED_FILES + 10):
        assert own.kind(f"/srv/shop/{number}.py", "shop") == "own"
    assert len(own._kinds) <= CACHED_FILES


# --- this interpreter --------------------------------------------------------------------------


def test_the_running_interpreter_knows_its_own_places() -> None:
    """The standard library, what is installed, loopwatch, and this test."""
    own = OwnCode()
    assert own.kind(asyncio.__file__, "asyncio") == "stdlib"
    assert own.kind(os.path.realpath(os.__file__), "os") == "stdlib"
    assert own.kind(pytest.__file__, "pytest") == "library"
    assert own.kind(os.path.join(sysconfig.get_paths()["purelib"], "x.py"), "x") == "library"
    assert own.kind(culprit.__file__, culprit.__name__) == "loopwatch"
    assert own.kind(__file__, __name__) == "own"


def test_places_are_known_by_both_names_where_there_is_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that is reached by a symbolic link names its files by the link, or by what is behind it."""
    real = tmp_path / "python3.12"
    (real / "site-packages").mkdir(parents=True)
    link = tmp_path / "current"
    link.symlink_to(real)
    monkeypatch.setattr(os, "__file__", str(link / "os.py"))
    monkeypatch.setattr(site, "getsitepackages", lambda: [str(link / "site-packages")])
    own = OwnCode(places=Places.of_this_interpreter())
    for root in (real, link):
        assert own.kind(str(root / "socket.py"), "socket") == "stdlib"
        assert own.kind(str(root / "site-packages" / "x.py"), "x") == "library"
    assert own.kind(str(tmp_path / "shop.py"), "shop") == "own"


def test_an_interpreter_without_paths_calls_nothing_a_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an empty setting nor the root folder makes the whole machine a library."""
    monkeypatch.setattr(site, "getsitepackages", lambda: ["/", ""])
    own = OwnCode(places=Places.of_this_interpreter())
    assert own.kind("/srv/shop/views.py", "shop.views") == "own"
    assert own.kind(asyncio.__file__, "asyncio") == "stdlib"


def test_an_editable_install_is_own_code_and_an_environment_in_the_project_is_not(tmp_path: Path) -> None:
    """Asked of a real environment: a project that is linked into it, and a library that is copied."""
    environment = tmp_path / "shop" / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    python = str(environment / "bin" / "python")
    script = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    packages = Path(subprocess.run([python, "-c", script], check=True, capture_output=True, text=True).stdout.strip())
    (tmp_path / "shop" / "src").mkdir()
    (tmp_path / "shop" / "src" / "shop_app.py").write_text("def serve(): pass\n")
    (packages / "shop.pth").write_text(f"{tmp_path / 'shop' / 'src'}\n")
    (packages / "copied_lib.py").write_text("def get(): pass\n")
    script = (
        "import sys, json, shop_app, copied_lib; sys.path.append(sys.argv[1])\n"
        "from loopwatch.explain.culprit import OwnCode\n"
        "own = OwnCode()\n"
        "for module in (shop_app, copied_lib, json): print(own.kind(module.__file__, module.__name__))\n"
    )
    root = str(Path(loopwatch.__file__).parent.parent)
    command = [python, "-c", script, root]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert told.stdout.split() == ["own", "library", "stdlib"]


# --- the culprit of a stack --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([LOOP, VIEWS, HTTP, SOCKET], VIEWS),
        ([LOOP, VIEWS, MODELS], MODELS),
        ([LOOP, VIEWS, HTTP, MODELS, POOL, SOCKET], MODELS),
        # No own code: the outermost of a library that the loop entered.
        ([LOOP, HTTP, POOL, SOCKET], HTTP),
        ([HTTP, POOL], HTTP),
        ([LOOP, LOOP, SOCKET], SOCKET),
        ([LOOP, LOOP], LOOP),
        # loopwatch's own frames are nobody's fault.
        ([LOOP, OURS, HTTP, OURS], HTTP),
        ([OURS, LOOP], LOOP),
        ([OURS, OURS], None),
        ([], None),
    ],
)
def test_the_culprit_is_the_innermost_own_frame(frames: list[RawFrame], expected: RawFrame | None) -> None:
    """Without one it is the outermost library frame that the loop entered; asyncio only where there is nothing else."""
    assert find_culprit(frames, OWN) is expected
    assert charged(frames, OWN) is expected


def test_a_package_is_itself_and_what_lies_below() -> None:
    """Not what begins with the same letters."""
    assert in_package("asyncio", "asyncio") and in_package("asyncio.events", "asyncio")
    assert not in_package("asyncio_extras", "asyncio") and not in_package("my.asyncio", "asyncio")


# --- imports -----------------------------------------------------------------------------------

HEAVY = body("pandas", f"{VENV}/site-packages/pandas/__init__.py")
HEAVIER = body("pandas.core", f"{VENV}/site-packages/pandas/core/__init__.py")
OWN_BODY = body("shop.late", "/srv/shop/late.py")


@pytest.mark.parametrize(
    ("frames", "culprit_of_import"),
    [
        ([LOOP, VIEWS, FIND, HEAVY, FIND, HEAVIER], VIEWS),
        ([LOOP, VIEWS, IMPORT_MODULE, FIND, HEAVY], VIEWS),
        # A library that imports late is not charged while own code called it.
        ([LOOP, VIEWS, HTTP, FIND, HEAVY], VIEWS),
        ([LOOP, HTTP, FIND, HEAVY], HTTP),
        # What an imported module does is the import's doing, also where the module is the user's.
        ([LOOP, VIEWS, FIND, OWN_BODY, MODELS, SOCKET], VIEWS),
        # Still looking for it.
        ([LOOP, VIEWS, FIND], VIEWS),
        # Begins with the import.
        ([FIND, OWN_BODY, MODELS], MODELS),
        ([FIND, HEAVY], FIND),
        # No import: only its looks.
        ([LOOP, VIEWS, HTTP], None),
        ([LOOP, OWN_BODY, VIEWS], None),
        (
            [LOOP, VIEWS, frame("importlib", "/usr/lib/python3.12/importlib/__init__.py", "invalidate_caches")],
            None,
        ),
        ([LOOP, VIEWS, frame("os", "<frozen os>", "walk")], None),
        ([], None),
    ],
)
def test_an_import_is_charged_to_who_set_it_off(frames: list[RawFrame], culprit_of_import: RawFrame | None) -> None:
    """The frame with the statement."""
    assert import_culprit(frames, OWN) is culprit_of_import
    assert charged(frames, OWN) is (culprit_of_import or find_culprit(frames, OWN))


def stack_of(frame: FrameType | None) -> tuple[RawFrame, ...]:
    """A real stack as it is copied, outermost first."""
    frames: list[RawFrame] = []
    while frame is not None:
        frames.append(RawFrame(frame.f_code, frame.f_lasti, str(frame.f_globals.get("__name__", ""))))
        frame = frame.f_back
    return tuple(reversed(frames))


def test_a_real_import_is_seen_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the statement and by ``import_module``, from the stack of an import that is under way."""
    (tmp_path / "slow_for_culprit.py").write_text("import builtins\nbuiltins.look_for_culprit()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[tuple[RawFrame, ...]] = []
    monkeypatch.setattr("builtins.look_for_culprit", lambda: seen.append(stack_of(sys._getframe(1))), raising=False)

    def by_statement() -> None:
        import slow_for_culprit  # type: ignore[import-not-found]  # noqa: F401

    def by_function() -> None:
        importlib.import_module("slow_for_culprit")

    own = OwnCode()
    for function in (by_statement, by_function):
        sys.modules.pop("slow_for_culprit", None)
        function()
        frames = seen.pop()
        found = import_culprit(frames, own)
        assert found is not None and found.code is function.__code__
        assert first_import(frames) == frames.index(found) + 1
    sys.modules.pop("slow_for_culprit", None)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("import sys\nfrom json import dumps as main\n", "library"),
        ("def main():\n    pass\n", "own"),
    ],
)
def test_a_script_of_an_installer_is_not_the_users(monkeypatch: pytest.MonkeyPatch, source: str, kind: str) -> None:
    """``bin/uvicorn`` defines nothing and only starts what is installed; a script of one's own there does more."""
    places = PLACES._replace(scripts=("/srv/shop/.venv/bin",))
    file = "/srv/shop/.venv/bin/serve"
    script = ModuleType("__main__")
    script.__file__ = file
    exec(compile(source, file, "exec"), vars(script))
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert OwnCode(places=places).kind(file, "__main__") == kind
    assert OwnCode(places=places).kind("/srv/shop/.venv/bin/deeper/serve", "__main__") == "own"
