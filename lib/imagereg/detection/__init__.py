"""Detection: from the pixels of a chip to a catalog of its sources.

In come the pixels of one chip, which of them are bad or excluded, and how to find (`Finding`); out
comes a `SourceCatalog`, its positions refined by the effective PSF of the exposure. Read `measure`
first: it calls `daofind` (or `sextractor`) and cuts the stamps from which `psf` measures the PSF
that it fits to them; `exclusions` makes masks of the region files that `ds9` reads.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
