"""Catalogs: lists of sources found in images, given by users, or taken from surveys.

The bytes of a file go into `read_table`, in any of the usual formats; out of the `Table` come a
`SourceCatalog` of one chip (`image_catalog`) or the stars of a survey (`reference_catalog`). A
`Reference` is what exposures are aligned with. Read `sources.py` first.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
