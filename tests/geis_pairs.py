"""Write GEIS images, pairs of a header and pixels."""

from pathlib import Path

import numpy as np

PARAMETERS = [("CRVAL1", "REAL*8"), ("CRVAL2", "REAL*8"), ("CRPIX1", "REAL*4"), ("CRPIX2", "REAL*4"),
              ("CTYPE1", "CHARACTER*8"), ("CTYPE2", "CHARACTER*8"), ("CD1_1", "REAL*4"), ("CD1_2", "REAL*4"),
              ("CD2_1", "REAL*4"), ("CD2_2", "REAL*4"), ("DETECTOR", "INTEGER*4"), ("SATURATE", "LOGICAL*4")]
KINDS = {"REAL*8": "f8", "REAL*4": "f4", "CHARACTER*8": "S8", "INTEGER*4": "i4", "LOGICAL*4": "i4"}


def write_geis(path, pixels=None, *, order=">", pixel="REAL*4", end=True, **keywords):
    """Write a pair as the archive has it, with keywords of the groups; return the pixels (groups, ny, nx)."""
    code = {"REAL*4": "f4", "INTEGER*2": "i2", "UNSIGNED*2": "u2"}[pixel]
    if pixels is None:
        pixels = np.random.default_rng(5).integers(0, 30000, (4, 6, 8))
    pixels = np.asarray(pixels).astype(code)
    n_groups, ny, nx = pixels.shape
    record = np.dtype([("pixels", order + code, (ny, nx)), *((name, order + KINDS[kind]) for name, kind in PARAMETERS)])
    groups = np.zeros(n_groups, record)
    groups["pixels"] = pixels
    groups["CTYPE1"], groups["CTYPE2"] = b"RA---TAN", b"DEC--TAN"
    groups["CRVAL1"], groups["CRVAL2"] = 150 + np.arange(n_groups) / 3, 2.2 - np.arange(n_groups) / 7
    groups["CRPIX1"] = groups["CRPIX2"] = 4.5
    groups["CD1_1"], groups["CD2_2"] = -2.77e-5, 2.77e-5
    groups["DETECTOR"] = np.arange(1, n_groups + 1)
    for name, values in keywords.items():
        groups[name] = values
    size = 8 * (record.itemsize - ny * nx * np.dtype(code).itemsize)
    lines = ["SIMPLE  =                    F / not FITS", f"BITPIX  = {8 * np.dtype(code).itemsize:20d}",
             f"DATATYPE= '{pixel}'", f"NAXIS   = {2:20d}", f"NAXIS1  = {nx:20d}", f"NAXIS2  = {ny:20d}",
             "GROUPS  =                    T", f"GCOUNT  = {n_groups:20d}", f"PCOUNT  = {len(PARAMETERS):20d}",
             f"PSIZE   = {size:20d}"]
    for number, (name, kind) in enumerate(PARAMETERS, 1):
        lines += [f"PTYPE{number:<3d}= '{name:8s}' / keyword {number}", f"PDTYPE{number:<2d}= '{kind}'",
                  f"PSIZE{number:<3d}= {8 * np.dtype(KINDS[kind]).itemsize:20d}"]
    lines += ["INSTRUME= 'WFPC2'", "EXPTIME =                 40.0", "HISTORY made up", *["END"] * end]
    Path(path).write_text("".join(f"{line:80s}\n" for line in lines), encoding="latin-1")
    Path(path[:-1] + "d").write_bytes(groups.tobytes())
    return pixels
