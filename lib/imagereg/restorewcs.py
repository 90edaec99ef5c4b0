"""The task restorewcs: bring back the WCS that was archived last."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["restorewcs", "getHelpAsString", "help", "run"]

__taskname__ = "restorewcs"

restorewcs = _solutions.restorewcs
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
