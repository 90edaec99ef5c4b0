"""The tasks in a shell: `cli`, the `words` of a line, their `completion`, the demo."""
