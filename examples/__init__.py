"""Programs to run and read; each shows loopwatch on something real. Not part of what is installed."""
