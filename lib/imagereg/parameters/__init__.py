"""What can be set: the declared parameters, the values of a run, their texts and their help.

In come a user's values: keywords, mappings, ``.cfg`` files, words of a command line. Out go three
`ParameterSet`, checked and complete, of tweakreg and its two parameter sets. Every parameter is
declared once, in ``pars/<task>.cfgspc``. Read `declaration` first, then `spec` and `gather`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
