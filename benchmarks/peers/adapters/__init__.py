"""How each tool is set up, as its own documentation says, and how what it tells is gathered."""
