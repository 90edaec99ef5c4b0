"""What each command does, from names of files and parameters to a result.

`align_images` is the task tweakreg itself: read `run` first, whose lines are the steps of a run;
then `exposures` and `reference` for what is read and measured, and `writing` for what is written.
The tasks in `solutions` work on what was found before: apply, restore, list or compare it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
