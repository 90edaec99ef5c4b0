"""The task comparewcs: measure the solutions that images hold against a reference."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["comparewcs", "getHelpAsString", "help", "run"]

__taskname__ = "comparewcs"

comparewcs = _solutions.comparewcs
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
