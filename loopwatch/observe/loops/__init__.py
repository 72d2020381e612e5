"""What is known of each loop, and the hooks in asyncio's classes; of a loop that cannot be seen, a heartbeat."""
