from .ds9 import is_region_text as is_region_text
from .exclusions import RegionList as RegionList
from .exclusions import mask_from_image as mask_from_image
from .exclusions import parse_regions as parse_regions
from .finders.finding import Finding as Finding
from .measure import best_of_chip as best_of_chip
from .measure import leave_out as leave_out
from .measure import measure_chip as measure_chip
from .measure import noise_from_inverse_variance as noise_from_inverse_variance
from .psf.epsf import EffectivePSF as EffectivePSF
from .psf.epsf_fit import refine_positions as refine_positions
from .psf.stamps import Stamps as Stamps

__all__ = [
    "EffectivePSF",
    "Finding",
    "RegionList",
    "Stamps",
    "best_of_chip",
    "is_region_text",
    "leave_out",
    "mask_from_image",
    "measure_chip",
    "noise_from_inverse_variance",
    "parse_regions",
    "refine_positions",
]
