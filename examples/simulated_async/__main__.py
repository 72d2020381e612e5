"""The same work with the thread-pool wrapper and with the native client, side by side, both watched.

Exits with 1 when loopwatch did not name the wrapper, or had something to say about the native client.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..children import ChildFailed, child, end_on_sigterm
from .verdict import Result, spoke_of_native, wrapper_findings

_START_UP = 60.0
"""Seconds that a process may take to start, on a machine that is busy."""


def main() -> int:
    end_on_sigterm()
    options = _options()
    try:
        return _compare(options)
    except KeyboardInterrupt:
        return 130
    except ChildFailed as failure:
        print(failure, file=sys.stderr)
        return 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m examples.simulated_async", description=__doc__)
    parser.add_argument("--requests", type=_positive(int), default=60, help="requests in all (default 60)")
    parser.add_argument("--concurrency", type=_positive(int), default=10, help="requests at a time (default 10)")
    parser.add_argument("--delay", type=_positive(float), default=0.15, help="seconds a reply takes (default 0.15)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures and findings there as well")
    parser.add_argument(
        "--serve",
        action="store_true",
        default=os.environ.get("SERVE", "") not in ("", "0"),
        help="leave /metrics of both up, under a light load, until Ctrl-C (also: SERVE=1)",
    )
    parser.add_argument("--serve-seconds", type=_positive(float), default=600.0, help="at most (default 600)")
    parser.add_argument("--metrics-port", type=int, default=0, help="before's; after has the next (default: any two)")
    return parser.parse_args()


def _positive(number: type[int] | type[float]) -> Any:
    def parse(text: str) -> float:
        value = number(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return parse


def _compare(options: argparse.Namespace) -> int:
    delay = ("--delay", str(options.delay))
    with child("examples.simulated_async.upstream", "--with-parent", *delay, seconds=_START_UP) as (url, _):
        print(
            f"{options.requests} requests, {options.concurrency} at a time, to an upstream that takes "
            f"{options.delay * 1000:g} ms a reply ({url})."
        )
        before, after = (_measured(client, url, options) for client in ("before", "after"))
        _say_all(before, after, options)
        if options.json:
            options.json.write_text(json.dumps({"before": before, "after": after}, indent=2), encoding="utf-8")
        if options.serve:
            _serve(url, options)
    return 0 if wrapper_findings(before) and not spoke_of_native(after) else 1


def _measured(client: str, url: str, options: argparse.Namespace) -> Result:
    with child(_MEASURE, *_arguments(client, url, options), seconds=_patience(options)) as (line, _):
        result: Result = json.loads(line)
        return result


_MEASURE = "examples.simulated_async.measure"


def _arguments(client: str, url: str, options: argparse.Namespace) -> tuple[str, ...]:
    counts = ("--requests", str(options.requests), "--concurrency", str(options.concurrency))
    return (client, url, "--with-parent", *counts)


def _patience(options: argparse.Namespace) -> float:
    # Ten times what three workers need for the work.
    return _START_UP + 10.0 * float(options.requests) * float(options.delay) / 3


def _say_all(before: Result, after: Result, options: argparse.Namespace) -> None:
    # Imported late: what the parent imports must not come before the processes that are measured.
    from .page import say_comparison, say_findings

    say_comparison(before, after, options.concurrency)
    say_findings(before, after)


def _serve(url: str, options: argparse.Namespace) -> None:
    """Run both once more, with ``/metrics`` up and a light load after the work, until their time is over."""
    with ExitStack() as stack:
        processes = []
        for offset, client in enumerate(("before", "after")):
            port = options.metrics_port + offset if options.metrics_port else 0
            serve = ("--serve-seconds", str(options.serve_seconds), "--metrics-port", str(port))
            running = child(_MEASURE, *_arguments(client, url, options), *serve, seconds=_patience(options))
            line, process = stack.enter_context(running)
            processes.append(process)
            print(f"Metrics of {client}: {json.loads(line)['metrics']}", flush=True)
        print(f"Both stay up under a light load for {options.serve_seconds:g} s, or until Ctrl-C.", flush=True)
        try:
            for process in processes:
                process.wait(options.serve_seconds + _START_UP)
        except KeyboardInterrupt:
            print("Ended.")


if __name__ == "__main__":
    sys.exit(main())
