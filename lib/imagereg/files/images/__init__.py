"""Image files: read them (`fits`, `geis`), tell their `instruments`, and `rewrite` their headers.

`blocks` checks the structure of a FITS file before anything believes what it says.
"""
