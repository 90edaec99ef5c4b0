"""The finders and their kernel with the defaults of imagefindpars, for tests."""

import dataclasses

import defaults

from imagereg.detection.finders import daofind, finding, sextractor

_NAMES = [field.name for field in dataclasses.fields(finding.Finding)]
# The limits and the noise that a run leaves out by default (use_sharp_round=no, computesig=yes).
_LEFT_OUT = dict.fromkeys(("skysigma", "sharplo", "sharphi", "roundlo", "roundhi"))
_FINDING = finding.Finding(**(defaults.of("imagefindpars", *_NAMES) | _LEFT_OUT))


def how(**values):
    """Return how to find; what is not given has its default."""
    return dataclasses.replace(_FINDING, **values)


def _finder(find):
    """Return a finder that takes values of `Finding` by name; what is not given has its default."""

    def found(image, **options):
        values = {name: options.pop(name) for name in _NAMES if name in options}
        return find(image, how(**values), **options)

    return found


find_sources = _finder(daofind.find_sources)
find_sources_sextractor = _finder(sextractor.find_sources_sextractor)


def make_kernel(fwhm, **shape):
    """Return a kernel; what is not given of its shape has its default."""
    return how(conv_width=fwhm, **shape).kernel
