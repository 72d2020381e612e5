"""Did loopwatch do its job: name the wrapper, and keep silent about the native client?"""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]
"""What ``measure`` printed: figures, and the events and offloads in JSON's own types."""

_WRAPPER = "examples.simulated_async.before."


def wrapper_findings(result: Result) -> list[dict[str, Any]]:
    """The offloads that name the wrapper's own code, have the verdict ``simulated async``, and a remedy."""
    return [
        offload
        for offload in result["offloads"]
        if offload["site"].startswith(_WRAPPER) and offload["verdict"] == "simulated async" and offload["remedy"]
    ]


def spoke_of_native(result: Result) -> bool:
    """Whether anything was blamed on a client that does nothing wrong.

    That a busy host or the collector held the loop may be reported, of any code; it names no culprit.
    """
    blamed = [event for event in result["events"] if event["event"] != "stall" or event.get("culprit")]
    return bool(blamed) or any(offload["verdict"] == "simulated async" for offload in result["offloads"])
