"""The effective PSF: `epsf_measure` measures it from `stamps` of stars, `epsf_fit` fits it to them.

`epsf` is the surface itself, `epsf_equations` what stars say of it, and `gain` tells from the noise
of stars what no header does.
"""
