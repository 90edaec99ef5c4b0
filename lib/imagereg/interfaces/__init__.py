"""How people call the tasks: shell, Python, PyRAF, IRAF, editor."""
