"""Fit transforms: `fit` to one matched pair of lists, `adjustment` to many lists at once.

`geometry` holds the families of transforms, `weights` the errors of pairs of positions,
`curvature` what no linear transform follows.
"""
