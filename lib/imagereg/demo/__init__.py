"""A simulated visit of an invented two-chip camera, with the truth known.

The files look like those of a space telescope: a primary header; SCI, ERR and DQ for every chip; a
WCS of a linear part, a SIP polynomial, lookup tables (CPDIS) and a detector correction (D2IM). The
headers hold the nominal pointing; the stars are painted where the telescope truly looked. Read
`visit` first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
