"""Pixels and sky: the tangent plane, the WCS that follows a fit, and the headers that hold it.

In come the WCSs of chips and the map that an alignment found; out come corrected WCSs, and headers
with the new WCS and an archive of the old ones. Read `plane` first, then `correction`. Who works on
headers imports the modules `keywords`, `alternates`, `headerlet`, `history`, `distortion` and
`updatewcs`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
