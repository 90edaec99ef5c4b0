"""Report: what people look at after a run.

An `Alignment` goes in; a PNG image in memory comes out. Read `plots.py` first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
