"""loopwatch beside its peers: what each sees and what each costs: ``python -m benchmarks.peers``."""
