"""The watchdog's side: looks at loops, stacks, pools and the host from a thread of its own."""
