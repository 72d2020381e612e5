"""Simulated async and its cure: the same work through a thread-pool wrapper and through a native client."""
