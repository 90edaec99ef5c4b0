"""The task applywcs: put solutions that tweakreg found into the headers of images."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["applywcs", "getHelpAsString", "help", "run"]

__taskname__ = "applywcs"

applywcs = _solutions.applywcs
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
