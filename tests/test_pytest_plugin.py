"""A test that blocks fails, and says where; runs of pytest in processes of their own."""

from __future__ import annotations

import json

import pytest

from tests.made_runs import run

pytest_plugins = ["pytester"]


def test_a_blocking_test_fails_and_says_where(pytester: pytest.Pytester) -> None:
    """The self-test of the plugin: with culprit, source, cause and remedy, and the event as JSON in a section."""
    done = run(
        pytester,
        tests="""
@pytest.mark.no_blocking
def test_marked():
    asyncio.run(app.checkout())

def test_with_fixture(no_blocking):
    asyncio.run(app.checkout())

def test_not_asked():
    asyncio.run(app.checkout())

@pytest.mark.no_blocking
def test_clean():
    asyncio.run(app.fine())

@pytest.mark.no_blocking
def test_without_a_loop():
    time.sleep(0.1)
""",
    )
    done.result.assert_outcomes(passed=3, failed=2)
    assert done.verdicts() == {
        "test_marked": "blocked",
        "test_with_fixture": "blocked",
        "test_clean": "clean",
        "test_without_a_loop": "unmeasured",
    }
    done.result.stdout.re_match_lines(
        [
            "The test blocked: 1 x held an event loop.",
            r"Event loop 'main' was held [2-9]\d\d ms by app.checkout:4 \(cause: wait, time.sleep\).*",
            r'  > File ".*app.py", line 4, in checkout',
            r"        time.sleep\(0\.2\)",
            "  Remedy: Use `await asyncio.sleep.*",
            "-+ Captured loopwatch call -+",
            r"\{.*",
        ],
        consecutive=False,
    )
    (shown, _) = (line for line in done.result.outlines if line.startswith('{"event"'))
    assert json.loads(shown) == done.entry("test_marked")["blocked"][0]
    assert done.entry("test_without_a_loop")["reason"] == "no event loop ran a step"


def test_each_test_has_its_own_terms_and_rules(pytester: pytest.Pytester) -> None:
    """Of nested markers the nearest wins, what is allowed is noted and passes, an unused rule is warned about."""
    done = run(
        pytester,
        tests="""
pytestmark = pytest.mark.no_blocking(threshold=0.03)

@pytest.mark.no_blocking(threshold=1)
def test_lenient():
    asyncio.run(app.checkout())

async def short():
    time.sleep(0.04)

def test_strict():
    asyncio.run(short())

@pytest.mark.no_blocking(threshold=0.06)
def test_a_little():
    asyncio.run(short())

@pytest.mark.allow_blocking(site="app.checkout", reason="known")
def test_allowed():
    asyncio.run(app.checkout())

@pytest.mark.allow_blocking(site="app.check*:4", reason="this very line")
def test_allowed_by_line():
    asyncio.run(app.checkout())

@pytest.mark.allow_blocking(reason="all of it")
def test_allowed_all():
    asyncio.run(app.checkout())

@pytest.mark.allow_blocking(site="app.other", reason="of no use")
def test_not_allowed():
    asyncio.run(app.checkout())
""",
    )
    done.result.assert_outcomes(passed=5, failed=2, warnings=1)
    assert {name for name, verdict in done.verdicts().items() if verdict == "blocked"} == {
        "test_strict",
        "test_not_allowed",
    }
    (allowed,) = done.entry("test_allowed")["allowed"]
    assert (allowed["site"], allowed["reason"], allowed["event"]["event"]) == ("app.checkout", "known", "stall")
    rule = "allow_blocking(site='app.other', reason='of no use') of test_it.py::test_not_allowed"
    assert done.document["unused_rules"] == [rule]
    assert f"BlockingWarning: no test used {rule}" in done.text


def test_what_is_not_the_tests_own_doing_does_not_fail_it(pytester: pytest.Pytester) -> None:
    """Collection, setup, teardown and imports are categories of their own, in the summary and the file."""
    done = run(
        pytester,
        "--loopwatch",
        slow_module="import time\ntime.sleep(0.2)\n",
        tests="""
async def at_import():
    time.sleep(0.2)

asyncio.run(at_import())

async def in_fixture():
    time.sleep(0.2)

async def after():
    time.sleep(0.2)

@pytest.fixture
def slow():
    asyncio.run(in_fixture())
    yield
    asyncio.run(after())

def test_clean(slow):
    asyncio.run(app.fine())

async def short():
    time.sleep(0.02)

def test_slow_enough_to_be_named():
    asyncio.run(short())

async def lazily():
    import slow_module

def test_imports():
    asyncio.run(lazily())

def test_skipped():
    pytest.skip("not today")
""",
    )
    done.result.assert_outcomes(passed=3, skipped=1)
    assert done.verdicts() == {
        "test_clean": "clean",
        "test_slow_enough_to_be_named": "clean",
        "test_imports": "clean",
        "test_skipped": "unmeasured",
    }
    assert done.outside() == {
        ("collection", "test_it.at_import"),
        ("setup", "test_it.in_fixture"),
        ("teardown", "test_it.after"),
    }
    (excused,) = done.entry("test_imports")["excused"]
    assert (excused["why"], excused["event"]["cause"]) == ("import", "import")
    done.result.stdout.fnmatch_lines(
        ["*slowest 5 steps:*", "*ms setup*test_it.in_fixture*", "*ms call*_to_be_named  short"]
    )


def test_the_tests_own_exception_is_never_replaced(pytester: pytest.Pytester) -> None:
    """The finding is shown beside it; an expected failure stays one, and a skip a skip."""
    done = run(
        pytester,
        "-rs",
        tests="""
pytestmark = pytest.mark.no_blocking

def test_fails():
    asyncio.run(app.checkout())
    assert not "mine"

def test_skips():
    asyncio.run(app.checkout())
    pytest.skip("mine, too")

@pytest.mark.xfail(raises=KeyError, strict=True)
def test_expected():
    asyncio.run(app.checkout())
    raise KeyError

@pytest.mark.xfail(reason="it blocks, we know", strict=True)
def test_blocks():
    asyncio.run(app.checkout())
""",
    )
    done.result.assert_outcomes(failed=1, skipped=1, xfailed=2)
    assert set(done.verdicts().values()) == {"blocked"}
    done.result.stdout.fnmatch_lines(["*assert not*mine*", "*Captured loopwatch call*", "*SKIPPED*mine, too"])


@pytest.mark.parametrize("mode", ["warn", "off"])
def test_findings_may_warn_or_nothing_be_watched(pytester: pytest.Pytester, mode: str) -> None:
    """``loopwatch_mode``; the verdicts of a run that warns are the same."""
    pytester.makeini(f"[pytest]\nloopwatch_mode = {mode}\nloopwatch_threshold = 0.1")
    done = run(
        pytester,
        tests="""
@pytest.mark.no_blocking
def test_blocks(no_blocking):
    asyncio.run(app.checkout())
""",
    )
    done.result.assert_outcomes(passed=1, warnings=1 if mode == "warn" else 0)
    assert done.verdicts() == ({"test_blocks": "blocked"} if mode == "warn" else {})
    assert ("ms by app.checkout:4" in done.text and "BlockingWarning" in done.text) == (mode == "warn")
    assert (done.document["settings"]["mode"], done.document["settings"]["threshold"]) == (mode, 0.1)


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("no_blocking(0.1)", "no_blocking takes its values by name"),
        ("no_blocking(limit=0.1)", "no_blocking has no limit; it has threshold, executor_wait, simulated_async"),
        ("no_blocking(threshold=-1)", "threshold is -1, but must be a number of seconds"),
        ("no_blocking\n@pytest.mark.allow_blocking(site='x')", "write allow_blocking(site="),
    ],
)
def test_a_wrong_marker_is_told_before_any_test_runs(pytester: pytest.Pytester, marker: str, said: str) -> None:
    """With the test that carries it."""
    done = run(pytester, tests=f"@pytest.mark.{marker}\ndef test_it(): pass\n")
    assert done.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"test_it.py::test_it: {said}" in done.text


def test_a_run_that_does_not_use_it_loads_nothing_of_it(pytester: pytest.Pytester) -> None:
    """Only the options, the markers and the fixture are there, and no module of loopwatch."""
    pytester.makeconftest(
        """
import sys
def pytest_unconfigure():
    print("loaded:", sorted(name for name in sys.modules if name.split(".")[0] == "loopwatch"))
"""
    )
    pytester.makepyfile("def test_it(): pass")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYTEST_ADDOPTS", raising=False)
        done = pytester.runpytest_subprocess("-s", "--markers")
        used = pytester.runpytest_subprocess("-s")
    done.stdout.fnmatch_lines(["@pytest.mark.no_blocking(threshold=*", "@pytest.mark.allow_blocking(site=*"])
    used.assert_outcomes(passed=1)
    used.stdout.fnmatch_lines(["loaded: []"])
