"""The task tweakback: give the images of a mosaic the alignment of the mosaic."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["apply_tweak", "getHelpAsString", "help", "run", "tweakback"]

__taskname__ = "tweakback"

tweakback = _solutions.tweakback
apply_tweak = _solutions.apply_tweak
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
