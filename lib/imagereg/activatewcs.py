"""The task activatewcs: make a named WCS or headerlet the primary WCS of images."""

from imagereg.interfaces import solutions as _solutions

__all__ = ["activatewcs", "getHelpAsString", "help", "run"]

__taskname__ = "activatewcs"

activatewcs = _solutions.activatewcs
run, help, getHelpAsString = _solutions.teal_functions(__taskname__)
