"""From facts to meaning: pure functions that name the culprit, the cause and the remedy."""
