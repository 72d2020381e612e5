"""Events in plain words, for people who have not read the manual. Reads source lines: not for the loop's thread."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import dropwhile

from ..model import Backlog, Event, Frame, Holder, Offload, Stall
from .frames import cut, picture, whole

_STALL_FRAMES = 12
_HOLDER_FRAMES = 6
_HOLDERS = 3
_SUBMITTERS = 3
_CONTRIBUTORS = 3
_PROFILE = 3
_NOT_TOLD = 8
_POOLS = ("threading", "concurrent.futures.thread", "anyio._backends._asyncio")
_LACKS = {
    "cpu": "the host was busy",
    "interpreter": "a wait for the interpreter",
    "thread": "a new thread could not begin",
    "debug": "asyncio's debug mode",
    "loop": "the loop's own work between two steps",
}
"""What a loop waited for whose own code explains nothing. The cause of these is ``unknown``: it has no name yet."""

_NEARLY_ALL = 0.8
_WORTH_TELLING = 0.001
_UNLIMITED = 1 << 30
_LONGEST_LINE = 1000
_LONGEST_NAME = 80


def render(event: Event) -> str:
    """The whole event: a first line that says what happened, then what shows it, then the remedy."""
    return _text([headline(event), *details(event), *_remedy(event)], event)


def retell(event: Event, remedy: str) -> str:
    """An event of which all was told before, with that remedy: its first line, and the remedy if it is another now.

    Of a pool that is gone the number of workers is not known any more, which makes no other remedy.
    """
    gone = isinstance(event, Backlog) and event.workers <= 0
    return _text([headline(event), *(_remedy(event) if event.remedy != remedy and not gone else ())], event)


def not_told(counts: Sequence[tuple[str, str, int]], elsewhere: int) -> str:
    """One line for what was left out and never told of: how many times each thing at each site, the commonest first."""
    said = [f"{times} x {site} ({what})" for what, site, times in counts[:_NOT_TOLD]]
    more = elsewhere + sum(times for _, _, times in counts[_NOT_TOLD:])
    if more:
        said.append(f"{more} x at other sites" if said else f"{more} x")
    return _clean(f"Not told again, since equal findings had been told: {', '.join(said)}.")


def _text(lines: list[str], event: Event) -> str:
    if event.suppressed:
        lines.append(f"  ({event.suppressed} more like this since it was last told)")
    return "\n".join(map(_clean, lines))


def _remedy(event: Event) -> list[str]:
    return [f"  Remedy: {event.remedy}"] if event.remedy else []


def headline(event: Event) -> str:
    """One line that says what happened, who is to blame, and who had to wait."""
    if isinstance(event, Stall):
        return _stall_line(event)
    return _backlog_line(event) if isinstance(event, Backlog) else _offload_line(event)


def details(event: Event) -> list[str]:
    """The lines that show it."""
    if isinstance(event, Stall):
        return _stall_details(event)
    return _backlog_details(event) if isinstance(event, Backlog) else _offload_details(event)


def seconds(value: float) -> str:
    """A duration as people say it: ``1.64 ms``, ``352 ms``, ``2.4 s``, ``12 min``."""
    if value < 0.0995:
        return f"{value * 1000:.3g} ms"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.5:
        return f"{value:.3g} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def _clean(line: str) -> str:
    """One line for certain: names of tasks and threads are free text, and may come from a request."""
    if not line.isprintable():
        line = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in line)
    return cut(line, _LONGEST_LINE)


def _quoted(name: str) -> str:
    return f"'{cut(name, _LONGEST_NAME)}'"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- stalls ---


def _stall_line(stall: Stall) -> str:
    held = "has been held for" if stall.in_progress else "was held"
    so_far = " so far" if stall.in_progress else ""
    about = "about " if stall.evidence.get("exact") is False else ""
    long = f"{about}{seconds(stall.duration)}{so_far}"
    line = f"Event loop {_quoted(stall.loop)} {held} {long}{_by(stall)} ({_cause(stall)})"
    if stall.delayed:
        line += f"; {_count(stall.delayed, 'callback')} {_waited(stall)}"
    return f"{line}. Task {_quoted(stall.task)}." if stall.task and not _is_crowd(stall) else f"{line}."


def _waited(stall: Stall) -> str:
    if not stall.in_progress:
        return "waited"
    return "is waiting" if stall.delayed == 1 else "are waiting"


def _by(stall: Stall) -> str:
    """Who or what held it, as the sentence goes on."""
    if _is_crowd(stall):
        many = _count(stall.steps, "callback") if stall.steps > 1 else "many callbacks"
        return f" by {many} in one turn{_mostly(stall)}"
    if stall.culprit is not None:
        if stall.evidence.get("place") == "unknown":
            return f" during a step of {stall.culprit.module}.{stall.culprit.function}"
        sure = stall.evidence.get("certain", True)
        beside = f", in a step that also ran {stall.evidence['own_code']}" if stall.evidence.get("own_code") else ""
        return f" by {stall.culprit.site}{beside}" if sure else f", probably by {stall.culprit.site}{beside}"
    if stall.cause == "gc":
        elsewhere = ", set off in another thread" if stall.evidence.get("gc_elsewhere") else ""
        return f" by the garbage collector{elsewhere}"
    if stall.cause == "suspended":
        return " while the whole process stood still"
    if stall.cause == "debugger":
        return " while a debugger held the process"
    what = f"a step of {stall.coroutine}" if stall.coroutine else stall.callback or "a callback"
    if stall.evidence.get("waited_for") == "loop":
        return f" before {what}"
    # Where the evidence names no cause, it clears the code that ran: then it was there, and no more is said.
    return f" during {what}" if stall.cause == "unknown" else f" by {what}"


def _is_crowd(stall: Stall) -> bool:
    """Whether many steps of one turn held the loop; while it lasts nobody has counted them."""
    return stall.kind == "turn" and (stall.steps > 1 or stall.in_progress)


def _mostly(stall: Stall) -> str:
    """Who made at least half of a turn."""
    if stall.culprit is not None:
        return f", mostly {stall.culprit.site}"
    first = max(stall.contributors, key=lambda each: each.seconds, default=None)
    return f", mostly {first.name}" if first is not None and 2 * first.seconds >= stall.duration else ""


def lack(stall: Stall) -> str | None:
    """What the loop lacked, where its own code is not to blame and that is known."""
    return _LACKS.get(str(stall.evidence.get("waited_for"))) if stall.cause == "unknown" else None


def _cause(stall: Stall) -> str:
    evidence = stall.evidence
    if stall.cause == "unknown":
        return f"cause: {lack(stall) or 'unknown'}"
    words: list[object] = [stall.cause]
    if stall.cause == "wait":
        kind = evidence.get("waited_for")
        words.append(evidence.get("called") or evidence.get("call") or (kind if kind != "other" else None))
    elif stall.cause == "import":
        words.append(evidence.get("module"))
    elif stall.cause == "gc":
        generation = evidence.get("gc_generation")
        words += [evidence.get("call"), None if generation is None else f"generation {generation}"]
    return "cause: " + ", ".join(str(word) for word in words if word)


def _stall_details(stall: Stall) -> list[str]:
    lines = _late(stall) + _accounts(stall)
    lines += picture(stall.stack, stall.culprit, _STALL_FRAMES)
    if stall.kind == "turn":
        lines += [
            f"  {each.name}: {each.steps} x, {seconds(each.seconds)}" for each in stall.contributors[:_CONTRIBUTORS]
        ]
    return lines + _profile(stall)


def _late(stall: Stall) -> list[str]:
    if stall.evidence.get("certain", True):
        return []
    if stall.evidence.get("place") == "unknown":
        return ["  Not seen at work: it, or what it called, had ended before the sampler could look."]
    return ["  Seen late: another function may have held the loop before this one was reached."]


def _accounts(stall: Stall) -> list[str]:
    """Where the code is not charged with all of it: what the loop's thread did with the time, as far as it is known."""
    if stall.cause != "unknown" and stall.charged_seconds > _NEARLY_ALL * stall.duration:
        return []
    named = (
        ("cpu_seconds", "on a CPU"),
        ("queued_seconds", "waiting for a CPU"),
        ("interpreter_seconds", "waiting for the interpreter"),
        ("gc_seconds", "collecting garbage"),
        ("unaccounted_seconds", "unaccounted for"),
    )
    least = _WORTH_TELLING * stall.duration
    spent = [
        f"{seconds(stall.evidence[key])} {doing}" for key, doing in named if (stall.evidence.get(key) or 0.0) > least
    ]
    return [f"  Of this time: {', '.join(spent)}."] if spent else []


def _profile(stall: Stall) -> list[str]:
    shares: dict[str, float] = {}
    for each in stall.profile:
        if each.stack:
            site = each.stack[-1].site
            shares[site] = shares.get(site, 0.0) + each.share
    if len(shares) < 2:
        return []
    most = sorted(shares.items(), key=lambda item: -item[1])[:_PROFILE]
    return ["  Its time: " + ", ".join(f"{share:.0%} in {site}" for site, share in most)]


# --- executors ---


def _pool(executor: str, workers: int, kind: object = "thread") -> str:
    if executor == "anyio":
        name = "AnyIO's thread pool"
    elif executor.startswith("anyio:"):
        name = f"AnyIO's limiter {_quoted(executor.partition(':')[2])}"
    elif executor == "libuv":
        name = "libuv's pool for lookups"
    else:
        name = f"{kind} pool {_quoted(executor)}"
    return f"{name} ({_count(workers, 'worker')})" if 0 < workers < _UNLIMITED else name


# --- backlogs ---


def _backlog_line(backlog: Backlog) -> str:
    pool = _capital(_pool(backlog.executor, backlog.workers, backlog.evidence.get("kind", "thread")))
    lasted = f"{seconds(backlog.duration)}{' so far' if backlog.in_progress else ''}{_because_of(backlog)}"
    if backlog.self_deadlock:
        was, wait = ("has been", "wait") if backlog.in_progress else ("was", "waited")
        why = f"its workers {wait} for jobs that {wait} for these workers"
        return f"{pool} {was} in a deadlock with itself for {lasted}: {why}."
    had = "has had" if backlog.in_progress else "had"
    return f"{pool} {had} no free worker for {lasted}{_jobs_waited(backlog)}."


def _because_of(backlog: Backlog) -> str:
    if backlog.culprit is not None:
        return f" because of {backlog.site}"
    if held := backlog.evidence.get("held_directly"):
        return f" because the application itself held {_count(held, 'worker')}"
    return f" because of {backlog.holders[0].target}" if backlog.holders else ""


def _jobs_waited(backlog: Backlog) -> str:
    if not backlog.jobs:
        return ""
    if backlog.jobs == 1:
        return f"; 1 job waited {seconds(backlog.waited)}"
    depth = f"up to {backlog.depth} at a time, " if 1 < backlog.depth < backlog.jobs else ""
    return f"; {backlog.jobs} jobs waited, {depth}{seconds(backlog.waited)} at most"


def _backlog_details(backlog: Backlog) -> list[str]:
    return _submitters(backlog) + _holders(backlog)


def _submitters(backlog: Backlog) -> list[str]:
    shown = backlog.submitters[:_SUBMITTERS]
    if [each.site for each in backlog.submitters] == [backlog.site]:
        return []  # the first line has said it all
    lines = ["  Who waited:"] if shown else []
    lines += [
        f"    {each.share:>4.0%} {each.site} ({_count(each.jobs, 'job')}, {seconds(each.waited)})" for each in shown
    ]
    left_out = len(backlog.submitters) - len(shown)
    return [*lines, f"    and {_count(left_out, 'site')} more"] if left_out else lines


def _holders(backlog: Backlog) -> list[str]:
    """One picture for each stack: forty workers that do the same need no forty."""
    alike: dict[object, list[Holder]] = {}
    for holder in backlog.holders:
        alike.setdefault((holder.target, holder.stack), []).append(holder)
    most = sorted(alike.values(), key=len, reverse=True)[:_HOLDERS]
    return [line for holders in most for line in _held(holders)]


def _held(holders: Sequence[Holder]) -> list[str]:
    first = holders[0]
    longest = seconds(max(holder.seconds for holder in holders))
    stack = picture(_from_target(first), None, _HOLDER_FRAMES)
    end = ":" if stack else ""
    if len(holders) > 1:
        return [f"  {len(holders)} workers had been running {first.target} for up to {longest}{end}", *stack]
    # Where no stack was seen, the worker is another process, and its name is made up.
    worker = f"Worker {_quoted(first.thread)}" if first.stack else "1 worker"
    return [f"  {worker} had been running {first.target} for {longest}{end}", *stack]


def _from_target(holder: Holder) -> Sequence[Frame]:
    """Its stack without what the pool itself runs around the job; empty for a job that is a function of C."""
    for index, frame in enumerate(holder.stack):
        if f"{frame.module}.{frame.function}" == holder.target:
            return holder.stack[index:]
    return list(dropwhile(lambda frame: frame.module in _POOLS, holder.stack))


# --- offloads ---


def _offload_line(offload: Offload) -> str:
    jobs = f"{_count(offload.jobs, 'job')} in {_pool(offload.executor, offload.workers)}"
    if offload.verdict == "simulated async":
        pool = "blocking calls in threads" if offload.evidence.get("openly") else "a thread pool in disguise"
        return f"{offload.site} is simulated async, {pool}: {jobs} {_spent(offload)}."
    what = "Blocking calls in threads" if offload.cause == "wait" else _capital(offload.verdict)
    return f"{what}: {offload.site} ran {jobs}, which {_spent(offload)}."


def _spent(offload: Offload) -> str:
    if offload.cpu_seconds is None:
        return f"took {seconds(offload.run_seconds)}"
    waited = seconds(max(0.0, offload.run_seconds - offload.cpu_seconds))
    kind = offload.evidence.get("waited_for")
    waiting = {"network": f"waited {waited} for the network", "sleep": f"slept {waited}"}.get(
        str(kind), f"waited {waited}"
    )
    return f"{waiting} and computed {seconds(offload.cpu_seconds)}"


def _offload_details(offload: Offload) -> list[str]:
    lines = []
    if offload.wait_seconds >= 0.001:
        lines.append(f"  Before that they waited {seconds(offload.wait_seconds)} for a free worker.")
    if offload.share is not None:
        lines.append(
            f"  {'Together that' if lines else 'That'} is {offload.share:.0%} of the time of the tasks that called it."
        )
    if way := offload.evidence.get("way"):
        lines.append(f"  Who asked for it is not known: the loop ran {way} as a task of its own.")
    else:
        lines.append(f"  It ran {offload.target}{', handed over here:' if offload.wrapper else '.'}")
    stack = [frame for frame in (offload.caller, offload.wrapper) if frame is not None]
    return lines + whole(stack, offload.wrapper)
