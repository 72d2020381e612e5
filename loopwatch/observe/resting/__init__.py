"""What the sampler sleeps on: in C, without the interpreter, or in Python."""
