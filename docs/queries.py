"""For each metric a question that its users have, and how Prometheus is asked it.

They stand here and not in the table of metrics, because a watched process has no use for them. The live test of the
dashboards asks every one of them.
"""

from __future__ import annotations

from typing import NamedTuple


class Query(NamedTuple):
    """``promql`` fits any number of instances: what it shows is summed up, or the few that are worst."""

    question: str
    promql: str


# fmt: off
QUERIES = {
    "loopwatch_step_duration_seconds": Query(
        "Which share of the steps took longer than 50 ms?",
        '1 - sum by (job) (rate(loopwatch_step_duration_seconds_bucket{le="0.05"}[5m]))\n'
        "  / sum by (job) (rate(loopwatch_step_duration_seconds_count[5m]))"),
    "loopwatch_turn_duration_seconds": Query(
        "How long does a ready event wait at most, in 99 of 100 turns?",
        "histogram_quantile(0.99, sum by (job, le) (rate(loopwatch_turn_duration_seconds_bucket[5m])))"),
    "loopwatch_loop_time_seconds_total": Query(
        "Which loops were fullest in the last five minutes, as a share of their time?",
        "topk(5,\n"
        '  sum by (job, instance, loop) (rate(loopwatch_loop_time_seconds_total{state="active"}[5m]))\n'
        "  / sum by (job, instance, loop) (rate(loopwatch_loop_time_seconds_total[5m])))"),
    "loopwatch_loop_utilization_ratio": Query(
        "Which loops are fullest now?",
        "topk(5, max by (job, instance, loop) (loopwatch_loop_utilization_ratio))"),
    "loopwatch_ready_callbacks": Query(
        "In which instances do most callbacks wait for their step now?",
        "topk(5, sum by (job, instance) (loopwatch_ready_callbacks))"),
    "loopwatch_tasks": Query(
        "Where do tasks pile up: how many more are there than five minutes ago?",
        "topk(5, sum by (job, instance) (delta(loopwatch_tasks[5m])))"),
    "loopwatch_stall_duration_seconds": Query(
        "For how many of the last five minutes' seconds were loops held, by cause?",
        "sum by (job, cause) (increase(loopwatch_stall_duration_seconds_sum[5m]))"),
    "loopwatch_stalled_seconds": Query(
        "How many instances are held right now?",
        "sum by (job) (max by (job, instance) (loopwatch_stalled_seconds) > bool 0)"),
    "loopwatch_blocking_seconds_total": Query(
        "Which lines lost most seconds in the last five minutes, of which kind and by which cause?",
        "topk(10, sum by (job, kind, site, cause) (increase(loopwatch_blocking_seconds_total[5m])))"),
    "loopwatch_offload_jobs_total": Query(
        "Which lines hand most calls a second to threads that only wait?",
        "topk(10, sum by (job, site) (rate(loopwatch_offload_jobs_total[5m])))"),
    "loopwatch_offload_seconds_total": Query(
        "Which share of such a call's time is waiting for a worker?",
        "topk(10,\n"
        '  sum by (job, site) (rate(loopwatch_offload_seconds_total{part="queue"}[5m]))\n'
        '  / sum by (job, site) (rate(loopwatch_offload_seconds_total{part=~"queue|run"}[5m])))'),
    "loopwatch_executor_workers": Query(
        "How many workers of each pool are busy, and how many idle?",
        "sum by (job, executor, state) (loopwatch_executor_workers)"),
    "loopwatch_executor_workers_max": Query(
        "Which share of the workers that a pool may have is busy?",
        'sum by (job, executor) (loopwatch_executor_workers{state="busy"})\n'
        "  / sum by (job, executor) (loopwatch_executor_workers_max)"),
    "loopwatch_executor_queue_depth": Query(
        "In which pools do most jobs wait now?",
        "topk(5, sum by (job, instance, executor) (loopwatch_executor_queue_depth))"),
    "loopwatch_executor_oldest_wait_seconds": Query(
        "In which pools did a job wait longest in the last five minutes?",
        "topk(5, max by (job, instance, executor) (max_over_time(loopwatch_executor_oldest_wait_seconds[5m])))"),
    "loopwatch_executor_wait_seconds": Query(
        "How long do jobs wait for a worker, in 95 of 100 cases?",
        "histogram_quantile(0.95, sum by (job, executor, le) (rate(loopwatch_executor_wait_seconds_bucket[5m])))"),
    "loopwatch_executor_run_seconds": Query(
        "How many workers were busy in the last five minutes, on average?",
        "sum by (job, executor) (rate(loopwatch_executor_run_seconds_sum[5m]))"),
    "loopwatch_executor_jobs_total": Query(
        "How many jobs a second end, and how?",
        "sum by (job, executor, outcome) (rate(loopwatch_executor_jobs_total[5m]))"),
    "loopwatch_executor_saturated_seconds_total": Query(
        "For how many of the last five minutes' seconds was every worker busy while jobs waited?",
        "topk(5, sum by (job, instance, executor) (increase(loopwatch_executor_saturated_seconds_total[5m])))"),
    "loopwatch_gc_pause_seconds": Query(
        "How many of the last five minutes' seconds did the collector take, by generation?",
        "sum by (job, generation) (increase(loopwatch_gc_pause_seconds_sum[5m]))"),
    "loopwatch_events_dropped_total": Query(
        "Which instances lost findings in the last hour, and how many?",
        "topk(5, sum by (job, instance) (increase(loopwatch_events_dropped_total[1h])))"),
    "loopwatch_sampler_seconds_total": Query(
        "Which share of a core does loopwatch's own thread take?",
        "topk(5, sum by (job, instance) (rate(loopwatch_sampler_seconds_total[5m])))"),
    "loopwatch_coverage": Query(
        "What is not seen, and in how many instances? Nothing is the answer to hope for.",
        'count by (job, subject) (loopwatch_coverage{seen="blind"} == 1)'),
    "loopwatch_info": Query(
        "How many instances run which version, on which Python, with which stopwatch?",
        "count by (job, version, python, steps) (loopwatch_info == 1)"),
}
# fmt: on
