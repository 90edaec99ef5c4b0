"""The task listwcs: list the solutions that images hold."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["listwcs", "getHelpAsString", "help", "run"]

__taskname__ = "listwcs"

listwcs = _solutions.listwcs
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
