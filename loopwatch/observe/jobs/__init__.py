"""Times each job of executors and of AnyIO's worker threads, from its submit to its end."""
