"""Files on disk: find them, read them, and write them whole or not at all.

Names become paths (`expand_input`, `mef_inputs`), an image an open `ImageFile` (`read_image`) with
metadata, chips and pixels; solutions and shifts become text and back; `rewrite` gives an image
other headers. Read `images/fits.py` first, then `images/instruments.py` and `solution.py`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
