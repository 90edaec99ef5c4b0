"""Region files and chips, for the masks recorded in unit/detection/data/region_masks.npz."""

from imagereg.detection import parse_regions

SHAPE = (400, 700)
_TAN = {
    "NAXIS": 2, "NAXIS1": 700, "NAXIS2": 400, "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
    "CRPIX1": 350.0, "CRPIX2": 200.0, "CRVAL1": 150.0, "CRVAL2": 30.0, "RADESYS": "ICRS",
    "CD1_1": -1.2e-5, "CD1_2": 7e-6, "CD2_1": 7e-6, "CD2_2": 1.2e-5,
}
# As strong as the distortion of ACS/WFC, from the corner of its chip on.
_SIP = {
    "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 3, "B_ORDER": 3,
    "A_2_0": 8e-6, "A_1_1": -5e-6, "A_0_2": 2e-6, "A_3_0": 1e-11,
    "B_2_0": 1e-6, "B_1_1": 6e-6, "B_0_2": -7e-6, "B_0_3": 1e-11, "CRPIX1": -1700.0,
    "CRPIX2": -800.0, "CRVAL1": 150.0206, "CRVAL2": 29.97336,
}
HEADERS = {"plain": _TAN, "distorted": _TAN | _SIP}
CASES = {
    "pixels": "-circle(120.3,90.2,41.7)\n-ellipse(300.2,200.1,60,22,35)"
    "\n-box(520.3,140.2,90.4,31,20)"
    "\n-annulus(180.7,300.2,20.1,55.6)\n-polygon(400.2,250.3,650.4,270.5,560.1,380.2)\n250 350 9.3",
    "angular": "image\n-circle(120.3,90.2,2.1\")\n-circle(620.3,90.2,0.4\")\n-circle(350,200,5\")",
    "sky": "fk5\n" + "".join(
        f"-{shape}\n"
        for shape in (
            'circle(150.0002,29.9985,1.9")', 'ellipse(150.0022,30.0003,3.1",1.2",35)',
            'box(149.9981,30.0012,4.2",1.7",70)', 'annulus(149.9996,30.0017,0.9",2.4")',
            "polygon(150.0035,29.9990,150.0012,29.9982,150.0020,29.9996)",
        )
    ),
    "searched": "icrs\ncircle(150.0005,30.0003,7\")\n-circle(150.0008,30.0001,2\")\n"
    "circle(150.0008,30.0001,0.7\")",
}


def mask_from_regions(text, shape, *, where="", plain="include", **chip):
    """Return the mask of a chip that a region file excludes."""
    return parse_regions(text, where, plain=plain).mask(shape, **chip)
