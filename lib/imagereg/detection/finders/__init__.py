"""Finders: a function each from the pixels of a chip and a `Finding` to a `SourceCatalog`.

`finding` holds the parameters they share, and the kernel that these define.
"""
