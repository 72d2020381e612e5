"""uvloop's loops: libuv's own counters, the callbacks that are given to it, and the names that it looks up."""
