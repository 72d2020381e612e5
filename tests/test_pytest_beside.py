"""What the plugin must leave alone, and how it bears what it is given wrongly."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from loopwatch import cli
from tests.made_runs import APP

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parent.parent


def test_the_traces_and_numbers_of_an_application_stay_its_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch that only its test has asked for writes nothing into the OpenTelemetry of what is tested."""
    pytest.importorskip("opentelemetry.sdk")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(
        """
        import asyncio, time
        import pytest
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from loopwatch.errors import Blocked
        from loopwatch.testing import assert_no_blocking

        exporter, reader, tracers = InMemorySpanExporter(), InMemoryMetricReader(), TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(exporter))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(MeterProvider([reader]))

        async def request():
            await asyncio.sleep(0.6)  # the providers are looked for now and then
            with trace.get_tracer("app").start_as_current_span("GET /"):
                time.sleep(0.2)

        @pytest.mark.allow_blocking(reason="that is what is looked at")
        def test_fixture(no_blocking):
            asyncio.run(request())

        def test_assertion():
            with pytest.raises(Blocked), assert_no_blocking():
                asyncio.run(request())

        def test_nothing_was_written():
            assert {span.name for span in exporter.get_finished_spans()} == {"GET /"}
            assert reader.get_metrics_data() is None
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)


def test_wrong_options_are_told_and_cost_no_report(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder is made; a file that cannot be written is told with all the rest; a module's name is checked."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    pytester.makepyfile(app=APP)
    pytester.makepyfile(
        """
        import asyncio, pytest, app
        from loopwatch.errors import Blocked
        from loopwatch.testing import assert_no_blocking

        def test_blocks(no_blocking):
            asyncio.run(app.checkout())

        def test_asserts():
            with pytest.raises(Blocked), assert_no_blocking():
                asyncio.run(app.checkout())
        """
    )
    plain = ("-p", "no:cacheprovider")
    made = pytester.runpytest_subprocess(*plain, "--loopwatch-json", "new/folder/verdicts.json")
    made.assert_outcomes(passed=1, failed=1)
    assert "setup" not in made.stdout.str()  # what a test did that is not watched is told by nobody else
    assert (pytester.path / "new" / "folder" / "verdicts.json").stat().st_size
    refused = pytester.runpytest_subprocess(*plain, "--loopwatch-json", str(pytester.path))
    refused.assert_outcomes(passed=1, failed=1)
    refused.stdout.fnmatch_lines(["The test blocked: *", "*cannot be written: *"])
    passing = pytester.runpytest_subprocess(*plain, "-k", "asserts", "--loopwatch-json", str(pytester.path))
    passing.assert_outcomes(passed=1, deselected=1)
    assert passing.ret == pytest.ExitCode.TESTS_FAILED  # what was asked for is not there
    misspelt = pytester.runpytest_subprocess(*plain, "-o", "loopwatch_own_code=shop-api")
    assert "ERROR: loopwatch_own_code: " in misspelt.stderr.str() and "INTERNALERROR" not in misspelt.stdout.str()
    negative = pytester.runpytest_subprocess(*plain, "-o", "loopwatch_executor_wait=-1")
    assert "ERROR: loopwatch_executor_wait in pytest's configuration: " in negative.stderr.str()


def test_a_report_that_nobody_reads_to_its_end_is_no_error(tmp_path: Path) -> None:
    """As under ``head``."""
    file = tmp_path / "verdicts.json"
    file.write_text(
        '{"schema_version": 1, "settings": {}, "summary": {"clean": 0, "blocked": 0, "unmeasured": 0}, "tests": [],'
        ' "slowest_steps": [], "outside": [], "unused_rules": []}'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "loopwatch", "report", str(file)],
        cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    timer = threading.Timer(60, process.kill)
    timer.start()
    try:
        assert process.stderr.read() == ""
        assert process.wait() == 2
    finally:
        timer.cancel()
        process.stderr.close()


@pytest.mark.parametrize("summary", ["{}", "null", "3"])
def test_a_report_without_a_summary_is_refused(
    summary: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As something that was not written by the plugin."""
    file = tmp_path / "verdicts.json"
    file.write_text(
        f'{{"schema_version": 1, "settings": {{}}, "summary": {summary}, "tests": [],'
        ' "slowest_steps": [], "outside": [], "unused_rules": []}'
    )
    assert cli.main(["report", str(file)]) == cli.UNREADABLE
    assert "--loopwatch-json" in capsys.readouterr().err
