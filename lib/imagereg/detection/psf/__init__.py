"""The effective PSF: `epsf_measure` measures it from `stamps` of stars, `epsf_fit` fits it to them.

`epsf` is the surface itself.
"""
