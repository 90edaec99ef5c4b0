from .correction import Solution as Solution
from .correction import Status as Status
from .correction import corrected_header as corrected_header
from .correction import corrected_wcs as corrected_wcs
from .plane import TangentPlane as TangentPlane
from .plane import border as border
from .plane import directions as directions
from .plane import orientation as orientation
from .plane import pixel_scale as pixel_scale
from .plane import pixel_to_sky as pixel_to_sky
from .plane import sky_offsets as sky_offsets
from .plane import unit_vectors as unit_vectors

__all__ = ["Solution", "Status", "TangentPlane", "border", "corrected_header", "corrected_wcs",
           "directions", "orientation", "pixel_scale", "pixel_to_sky", "sky_offsets",
           "unit_vectors"]
