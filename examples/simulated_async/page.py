"""What a person reads: the two runs side by side, and what loopwatch said of each."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from .verdict import Result, spoke_of_native, wrapper_findings

_PUBLISHED = """\
The published figures fit about three requests in flight (requests/s x mean is 3 before and after);
here {concurrency} are, so the wrapper gives all its 3 workers can, and the native client gives more.
Memory is of the whole process; in one this small the imported libraries weigh more than 3 threads."""

_BLOCKING = {"loop": "held the loop", "queue": "waited in a queue", "offload": "waited in workers"}


def say_comparison(before: Result, after: Result, concurrency: int) -> None:
    """Print the table of figures, with those of the published migration beside them."""
    table = Table(title="The same work: before is requests in 3 threads, after is httpx.AsyncClient")
    for name in ("", "before", "after", "change", "published"):
        table.add_column(name, justify="right" if name else "left")
    for label, key, published in (("mean response", "mean", "450 -> 150 ms"), ("p95 response", "p95", "")):
        table.add_row(label, *_both(before, after, key, 1000, "{:.0f} ms"), published)
    table.add_row("requests/s", *_both(before, after, "per_second", 1, "{:.1f}"), "6.7 -> 20")
    table.add_row("peak memory", *_both(before, after, "peak_memory", 2**-20, "{:.1f} MB"), "-28 %")
    table.add_row("threads, loopwatch's too", *_both(before, after, "threads", 1, "{}"))
    for kind, label in _BLOCKING.items():
        seconds = (result["blocking"][kind] for result in (before, after))
        table.add_row(f"{label}, in all", *(f"{value:.2f} s" for value in seconds))
    Console(highlight=False).print(table)
    print(_PUBLISHED.format(concurrency=concurrency))


def say_findings(before: Result, after: Result) -> None:
    """Print what loopwatch said of each client, and whether that is what it should have said."""
    print("\n== What loopwatch said of before.py\n")
    print(before["log"].strip() or "(nothing)")
    for offload in wrapper_findings(before):
        print(f"\nverdict: {offload['verdict']}, {offload['jobs']} jobs")
        print(f"site:    {offload['site']}")
        print(f"remedy:  {offload['remedy']}")
    print("\n== What loopwatch said of after.py\n")
    print(after["log"].strip() or "(nothing: silent)")
    named = "named" if wrapper_findings(before) else "NOT NAMED"
    silent = "NOT SILENT" if spoke_of_native(after) else "silent"
    print(f"\nThe wrapper was {named}; about the native client loopwatch was {silent}.", flush=True)


def _both(before: Result, after: Result, key: str, scale: float, form: str) -> tuple[str, str, str]:
    old, new = before[key], after[key]
    change = f"{(new / old - 1) * 100:+.0f} %" if old else ""
    return form.format(old * scale), form.format(new * scale), change
