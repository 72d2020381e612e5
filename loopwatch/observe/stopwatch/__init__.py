"""Times one step and one turn: in C or in Python, by one contract. Knows handles and clocks, and no loop."""
