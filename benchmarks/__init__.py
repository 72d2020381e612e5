"""What loopwatch costs and how exact it is, against the bounds it has set itself: ``python -m benchmarks``."""
