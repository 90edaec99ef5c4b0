"""A folder with all that the examples of the help and of the how-tos name."""

import shutil

import numpy as np
from astropy.io import fits

from imagereg.demo import simulate_visit

NO_PLOTS = ["see2dplot=no", "residplot=No plot"]
#: What is run before an example that goes on from there, by its command or option.
BEFORE = {
    "--restore": ["j*flt.fits", "updatehdr=yes"],
    "--activate": ["j*flt.fits", "headerlet=yes", "hdrname=MINE_1"],
    "--apply": ["j*flt.fits"],
    "applywcs": ["j*flt.fits,m_drz.fits"],
    "restorewcs": ["j*flt.fits", "updatehdr=yes"],
    "activatewcs": ["j*flt.fits", "headerlet=yes", "hdrname=HSC30_OFFSET"],
    "tweakback": ["m_drz.fits", "refcat=gaia.csv", "updatehdr=yes", "wcsname=ON_GAIA"],
}


def stock(folder):
    """Fill a folder with two exposures, jdemo1a?q_flt.fits, a deep one, a mosaic, and what goes with them."""
    visit = simulate_visit(folder, seed=2, n_exposures=3, chip_shape=(200, 300), n_stars=80, full_well=1e9,
                           flux_range=(2e4, 3e5), n_cosmic_rays=10, bad_pixels=10)
    visit.files[-1].rename(folder / "deep_drz.fits")
    names = [path.name for path in visit.files[:-1]]
    lines = []
    for name, chips in zip(names, visit.chips[:-1], strict=True):
        lists = [f"{name}_{chip.extver}.txt" for chip in chips]
        for chip, own in zip(chips, lists, strict=True):
            np.savetxt(folder / own, np.column_stack([chip.xy, chip.flux]), comments="",
                       header="#   1 X_IMAGE\n#   2 Y_IMAGE\n#   3 FLUX_AUTO")
        lines.append(" ".join([name, *lists]))
    magnitudes = 26 - 2.5 * np.log10(visit.flux)
    rows = zip(*visit.sky.T, magnitudes, strict=True)
    stars = "\n".join(["ra,dec,ra_error,dec_error,pmra,pmdec,ref_epoch,phot_g_mean_mag",
                       *(f"{ra:.8f},{dec:.8f},1,1,0,0,2016,{magnitude:.3f}" for ra, dec, magnitude in rows)])
    texts = {"catalogs.txt": "\n".join(lines), "exposures.txt": "\n".join(names), "areas.reg": "269 128 9\n100 100 9\n",
             "gaia.csv": stars, "stars.csv": stars}
    for name, text in texts.items():
        (folder / name).write_text(text)
    members = [fits.Column("MEMNAME", "14A", array=[name.partition("_")[0] for name in names]),
               fits.Column("MEMTYPE", "14A", array=["EXP-DTH"] * len(names))]
    fits.BinTableHDU.from_columns(members).writeto(folder / "j99da1010_asn.fits")
    _mosaic(folder, names)


def _mosaic(folder, names):
    """Write a mosaic m_drz.fits that names the exposures: a part of a chip of the deep image."""
    with fits.open(folder / "deep_drz.fits") as hdus:
        for number, name in enumerate(names, 1):
            hdus[0].header[f"D{number:03d}DATA"] = f"{name}[sci,1]"
        header = hdus["SCI", 1].header
        header["WCSNAME"] = "DRZWCS"
        header["CRPIX1"] -= 20
        header["CRPIX2"] -= 10
        image = fits.ImageHDU(hdus["SCI", 1].data[10:, 20:], header, name="SCI")
        tables = [hdu for hdu in hdus if hdu.name in ("WCSDVARR", "D2IMARR")]
        fits.HDUList([hdus[0], image, *tables]).writeto(folder / "m_drz.fits")


def keep_gaia(folder, home):
    """Have stars of Gaia for the field in the cache of a user, as if they were fetched before."""
    kept = home / ".imagereg" / "catalogs" / "GAIADR3_150.00_+30.00_0.10.ecsv"
    kept.parent.mkdir(parents=True)
    shutil.copy(folder / "gaia.csv", kept)
