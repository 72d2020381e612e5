"""The documentation: plain Markdown. What is made from the code is written by ``reference.py``."""
