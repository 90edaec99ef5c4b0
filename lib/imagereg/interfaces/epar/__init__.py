"""Editor of task parameters, IRAF's ``epar``: a task name comes in, edited values go out.

`edit` opens a window where a display works, else a page in the terminal. Both draw one `Model`
of `Row` values and pass the user's actions on to it. Read `model` first, then `rows` (which
parameters are in use) and `saved` (the files), then `terminal` or `window`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
