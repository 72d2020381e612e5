"""Counts, sums and snapshots, in bounded memory."""
