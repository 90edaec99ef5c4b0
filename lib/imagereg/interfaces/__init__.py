"""How people call the tasks: from a shell, Python, PyRAF, IRAF's cl or the editor.

In come words, values or key strokes; they become the parameter sets of `imagereg.parameters`, with
which `imagereg.tasks` runs. `python` is the shortest of them: read it first. The commands of a
shell stand in `shell`, the editor in `epar`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
