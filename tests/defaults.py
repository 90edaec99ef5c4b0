"""Defaults of parameters, for tests that call what takes them as arguments."""

from imagereg.parameters.spec import Spec


def of(task, *names):
    """Return the defaults of parameters of a task by name; of all where none is named."""
    spec = Spec.load(task)
    return {name: spec[name].default for name in names or spec.names}
