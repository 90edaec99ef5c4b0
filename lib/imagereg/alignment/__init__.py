"""From sources to verdicts: match, fit and judge exposures against a reference.

In come `Exposure` values with their sources and `Rules`; out come `Alignment` values, each with its
status, reason and fit, and the `wcs.Solution` that files and headers are made of. Read
`sequence.py` first, with `order.py` (which exposure is next), then `solve.py` (one exposure), the
matchers in `matching`, the fits in `fitting`, `evidence.py` (what a fit explains), and
`significance.py`, which decides what is believed. `joint.py` solves for all exposures together in
the end.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
