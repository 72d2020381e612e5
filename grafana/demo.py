"""The FastAPI example under load on every disease, and a Prometheus that scrapes it, until Ctrl-C.

    make dashboards-demo

Nothing listens beyond loopback. With a Grafana of your own: add the printed address as a data source of type
Prometheus and import ``grafana/dashboards/*.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from examples.children import ChildFailed, child, end_on_sigterm
from examples.load import put_load

from .prometheus_server import Prometheus, PrometheusFailed, prometheus

_LIMIT = 60.0
_PAUSE = 5.0


def main() -> int:
    end_on_sigterm()
    parser = argparse.ArgumentParser(prog="python -m grafana.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=9090, help="of Prometheus; 0 takes a free one (default 9090)")
    parser.add_argument("--rounds", type=int, default=0, help="end after so many rounds of load (default: go on)")
    options = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            child("examples.fastapi_service", "--port", "0", "--with-parent", seconds=120.0) as (url, _),
            prometheus(Path(folder), {"example": f"{url}/metrics/"}, options.port) as server,
        ):
            print(f"Service:    {url}\nPrometheus: {server.url}/graph\nAlerts:     {server.url}/alerts", flush=True)
            _load(url, options.rounds)
            print(f"Findings in the last five minutes: {_worst(server)}", flush=True)
    except KeyboardInterrupt:
        return 130
    except (ChildFailed, PrometheusFailed) as failure:
        print(failure, file=sys.stderr)
        return 2
    return 0


def _load(url: str, rounds: int) -> None:
    done = 0
    while not rounds or done < rounds:
        asyncio.run(put_load(url, _LIMIT))
        done += 1
        print(f"Round {done} of load is done; every disease was there.", flush=True)
        asyncio.run(asyncio.sleep(_PAUSE))


def _worst(server: Prometheus) -> str:
    found = server.query("topk(3, sum by (kind, site) (increase(loopwatch_blocking_seconds_total[5m])))")
    return "; ".join(f"{each['metric']['site']} ({each['metric']['kind']})" for each in found)


if __name__ == "__main__":
    sys.exit(main())
