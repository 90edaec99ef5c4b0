"""The finders and their kernel with the defaults of imagefindpars, for tests."""

import defaults

from imagereg.detection import daofind, kernel, sextractor

_KERNEL = defaults.of("imagefindpars", "nsigma", "ratio", "theta")
_FINDING = defaults.of("imagefindpars", "conv_width", "threshold") | _KERNEL


def find_sources(image, **options):
    """Find sources; what is not given has its default."""
    return daofind.find_sources(image, **(_FINDING | options))


def find_sources_sextractor(image, **options):
    """Find sources with SExtractor; what is not given has its default."""
    return sextractor.find_sources_sextractor(image, **(_FINDING | options))


def make_kernel(fwhm, **shape):
    """Return a kernel; what is not given of its shape has its default."""
    return kernel.Kernel(fwhm, **(_KERNEL | shape))
