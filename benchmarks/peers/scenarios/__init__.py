"""Small programs that hold a loop, fill a pool, or do nothing wrong. They know nothing of any tool."""
