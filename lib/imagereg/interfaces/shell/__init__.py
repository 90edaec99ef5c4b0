"""The tasks in a shell: `cli`, the `words` of a line, their `completion`, `signals`, the demo."""
