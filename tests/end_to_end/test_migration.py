"""Calls of drizzlepac's TweakReg in public repositories, each in our own words, with ours in its place.

Each is checked to be accepted with the meaning that it has there. Calls that ask for the same work share a run, on
three images of two small chips: their next lines find the files and columns that they read, and the images are where
the stars are.
"""

import dataclasses
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from imagereg.demo import simulate_visit
from imagereg.parameters import gather_parameters
from imagereg.tweakreg import Status, TweakReg

NO_PLOTS = {"see2dplot": False, "residplot": "No plot"}


@dataclasses.dataclass(frozen=True)
class Call:
    """What a script does.

    Parameters
    ----------
    who : str
        What kind of script it is, in a word or two.
    images : str
        How it names the images: 'wildcard', 'list', 'commas', '@list', 'one', 'two'.
    given : dict
        Parameters; REFIMAGE, REFCAT and CATFILE stand for files of the test.
    reads : tuple of str
        What its next lines read: 'shifts' (a table without a head), 'nan' (lines of the shiftfile), 'coo', 'match',
        'log', 'header', 'pngs'.
    """

    who: str
    images: str
    given: dict
    reads: tuple = ()


def optical(threshold, **more):
    return {"imagefindcfg": {"threshold": threshold, "conv_width": 3.5, **more}}


GAIA = {"updatehdr": True, "separation": 0.0, "refcat": "REFCAT", "interactive": False, "wcsname": "GAIA",
        "reusename": True, "fitgeometry": "general"}
PIPELINE = {"verbose": False, "interactive": False, "clean": True, "updatehdr": True, "wcsname": "TWEAK",
            "reusename": True, "rfluxunits": "counts", "see2dplot": False, "separation": 0.5, "residplot": "No plot",
            "runfile": ""}
SHARP = {"threshold": 5, "use_sharp_round": True}
SURVEY = {"updatehdr": True, "wcsname": "TWEAK", "conv_width": 3.5, "threshold": 4.0, "nsigma": 1.5, "peakmin": 0,
          "peakmax": 2000, "writecat": False, "clean": True, "headerlet": False, "shiftfile": True,
          "outshifts": "direct_shifts.txt", "outwcs": "direct_wcs.fits", "runfile": "direct_tweakreg.log",
          "minobj": 15, "searchrad": 1.0, "searchunits": "arcseconds", "use2dhist": False, "see2dplot": False,
          "separation": 0.5, "fitgeometry": "shift", "residplot": "No plot", "nclip": 3, "sigma": 3.0}
CALLS = [
    # Aligned with each other.
    Call("notebook, two lines", "wildcard", {"updatehdr": True}, ("header",)),
    Call("notebook, first look", "wildcard", {"threshold": 200, "searchrad": 1e3, "tolerance": 10}, ()),
    Call("notebook, shifts only", "wildcard", {**optical(200), "refimagefindcfg": {"threshold": 400, "conv_width": 2.5},
                                               "updatehdr": False, "shiftfile": True, "outshifts": "shift.txt"},
         ("shifts",)),
    Call("notebook, epochs", "list", {**optical(100), "shiftfile": True, "outshifts": "shifts_all100.txt",
                                      "updatehdr": True, "interactive": False, "wcsname": "simult_epochs"},
         ("shifts", "pngs")),
    Call("gallery of lenses", "list", {"updatehdr": True, "clean": True, "reusename": True, "interactive": False,
                                       "conv_width": 3.5, "threshold": 200.0, "ylimit": 0.2, "shiftfile": True,
                                       "outshifts": "shift_flc.txt", "searchrad": 1, "tolerance": 3, "minobj": 7},
         ("nan", "header")),
    Call("archive tutorial", "wildcard", {"shiftfile": True, "interactive": False, "expand_refcat": False,
                                          "refimage": "REFIMAGE", "updatehdr": True, "runfile": "tweak.log",
                                          **optical(1000, dqbits=0, peakmax=50000),
                                          "refimagefindcfg": {"dqbits": 0, "threshold": 4000, "peakmax": 50000}},
         ("log", "header")),
    Call("supernova injection", "list", {"interactive": False, "updatehdr": True, "residplot": "No plot",
                                         "reusename": True, "clean": True}, ("header",)),
    Call("reduction on a laptop", "wildcard", {"updatehdr": False, "conv_width": 3.5, "threshold": 200,
                                               "peakmax": 50000}, ("coo",)),
    Call("multi-band gallery", "list", {"updatehdr": True, "clean": True, "reusename": True, "interactive": False,
                                        "conv_width": 3.5, "threshold": 100.0, "ylimit": 0.2, "shiftfile": True,
                                        "outshifts": "s.txt", "searchrad": 1, "tolerance": 3, "minobj": 5}, ("nan",)),
    Call("detector reads", "list", {"updatehdr": True, "updatewcs": False, "writecat": True, "verbose": True,
                                    "clean": False, "interactive": False, "see2dplot": False, "shiftfile": True,
                                    "outshifts": "shifts_root.txt", "outwcs": "shifts_root_wcs.fits",
                                    **optical(20, dqbits=~4096)}, ("shifts", "coo")),
    Call("grism survey, association", "wildcard", {**SURVEY, "verbose": True}, ("shifts", "header")),
    Call("grism survey, keyword input", "wildcard", {**SURVEY, "verbose": "yes", "use2dhist": "no"}, ("shifts",)),
    Call("grism survey, fine", "wildcard", {"refimage": None, "writecat": True, "clean": False, "verbose": True,
                                            "updatehdr": False, "shiftfile": True, "outshifts": "b_shifts0.txt",
                                            "conv_width": 3, "threshold": 10, "peakmax": 50}, ("shifts", "coo")),
    Call("blotted pair", "two", {"threshold": 30.0, "updatehdr": False, "updatewcs": False, "writecat": False,
                                 "clean": True, "interactive": False, "use2dhist": True, "see2dplot": False,
                                 "fitgeometry": "rscale", "residplot": "both"}, ("pngs",)),
    Call("grid of thresholds", "wildcard", {"updatehdr": False, "shiftfile": True, "outshifts": "1shift.txt",
                                            "residplot": "No plot", "see2dplot": None, "use_sharp_round": "Yes",
                                            "threshold": 20, "conv_width": 3, "roundlo": -1, "roundhi": 1,
                                            "peakmax": 50000}, ("nan",)),
    Call("star cluster, four exposures", "list", {"updatehdr": True}, ("header",)),
    Call("supernova remnant", "commas", {"updatehdr": False, "threshold": 3, "peakmax": 50}, ("coo",)),
    Call("cosmology survey", "commas", {"updatehdr": True, "shiftfile": True, "refimage": "REFIMAGE",
                                        "updatewcs": False, "searchrad": 4, "searchunits": "arcseconds",
                                        "threshold": 8.0, "conv_width": 3.5, "minobj": 5, "nclip": 5,
                                        "interactive": False, "use2dhist": True, "residplot": "both"}, ("shifts",)),
    Call("photometry pipeline", "list", {**PIPELINE, "refimage": "REFIMAGE", "writecat": False,
                                         "imagefindcfg": SHARP, "refimagefindcfg": SHARP}, ("header",)),
    Call("photometry pipeline, later", "list", {**PIPELINE, "refimage": "REFIMAGE", "writecat": True, "minobj": 10,
                                                "searchrad": 2.0, "searchunits": "arcseconds", "imagefindcfg": SHARP,
                                                "refimagefindcfg": SHARP}, ("header",)),
    Call("photometry pipeline, retry", "list", {**PIPELINE, "refimage": "REFIMAGE", "minobj": 7, "tolerance": 0.25,
                                                "refnbright": 4000, "nbright": 4000, "fitgeometry": "shift",
                                                "shiftfile": True, "outshifts": "drizzle_shifts.txt",
                                                "imagefindcfg": {**SHARP, "conv_width": 3.5},
                                                "refimagefindcfg": {**SHARP, "conv_width": 3.5}}, ("shifts",)),
    Call("transient pipeline", "list", {**PIPELINE, "refimage": "REFIMAGE", "writecat": False,
                                        "imagefindcfg": {"threshold": 15, "use_sharp_round": True},
                                        "refimagefindcfg": {"threshold": 15, "use_sharp_round": True}}, ("header",)),
    Call("planet hosts", "wildcard", {"refimage": "REFIMAGE", "enforce_user_order": False,
                                      **optical(200, dqbits=~4096), "shiftfile": True, "outshifts": "shift660_flc.txt",
                                      "searchrad": 5.0, "ylimit": 0.6, "updatehdr": True, "wcsname": "UVIS_FLC",
                                      "reusename": True, "interactive": False}, ("nan", "header")),
    Call("dwarf galaxy", "wildcard", {"refimage": "REFIMAGE", "enforce_user_order": False,
                                      **optical(80, dqbits=~4096, use_sharp_round=True),
                                      "refimagefindcfg": {"threshold": 2, "conv_width": 2.5}, "shiftfile": True,
                                      "outshifts": "shiftfile.txt", "searchrad": 300.0, "ylimit": 0.6,
                                      "updatehdr": True, "wcsname": "UVIS_FLT", "reusename": True,
                                      "interactive": False}, ("shifts",)),
    Call("globular cluster, first guess", "wildcard", {"refimage": "REFIMAGE", "enforce_user_order": False,
                                                       **optical(50, dqbits=~4096, use_sharp_round=True),
                                                       "refimagefindcfg": {"threshold": 30, "conv_width": 2.5},
                                                       "shiftfile": True, "outshifts": "shiftfile.txt",
                                                       "searchrad": 300.0, "ylimit": 0.6, "updatehdr": True,
                                                       "wcsname": "newheader", "reusename": True,
                                                       "interactive": False, "updatewcs": False, "yoffset": -2000,
                                                       "xoffset": -500}, ("shifts",)),
    Call("infrared mosaic", "list", {"updatehdr": True, "expand_refcat": True, "enforce_user_order": False,
                                     "refimage": "REFIMAGE",
                                     "refimagefindcfg": {"threshold": 100, "conv_width": 2.5, "peakmin": 1500,
                                                         "peakmax": 5000}}, ("coo", "header")),
    Call("integral field images", "two", {"conv_width": 3.5, "threshold": 4000, "searchrad": 4.0, "peakmax": 70000,
                                          "fitgeometry": "rscale", "configobj": None, "interactive": False,
                                          "shiftfile": True, "outshifts": "shift_searchrad.txt", "updatehdr": True},
         ("shifts",)),
    Call("amateur frames", "wildcard", {"tolerance": 15, "searchrad": 10, "interactive": False, **optical(200),
                                        "refimagefindcfg": {"threshold": 400, "conv_width": 2.5}, "updatehdr": True,
                                        "shiftfile": True, "outshifts": "shift.txt"}, ("shifts",)),
    Call("amateur frames, dict()", "wildcard", {"imagefindcfg": dict(threshold=10, conv_width=3.5),
                                                "refimagefindcfg": dict(threshold=10, conv_width=2.5),
                                                "updatehdr": False, "shiftfile": True, "outshifts": "shift.txt"},
         ("shifts",)),
    Call("regression test", "commas", {"imagefindcfg": {"threshold": 50, "conv_width": 4.5, "skysigma": 20.0,
                                                        "dqbits": None, "computesig": False},
                                       "refimagefindcfg": {"threshold": 50, "conv_width": 4.5, "skysigma": 20.0,
                                                           "dqbits": None, "computesig": False},
                                       "refimage": "REFIMAGE", "updatehdr": True, "wcsname": "TWEAKREG_REGTEST",
                                       "shiftfile": True, "outshifts": "out_shifts.txt", "outwcs": "ref_wcs.fits",
                                       "clean": False, "writecat": False, "interactive": False}, ("shifts",)),
    Call("point-spread functions", "list", {"interactive": False, "updatehdr": True, "clean": True, "reusename": True,
                                            **optical(100)}, ("header",)),
    Call("count rates", "list", {"imagefindcfg": {"threshold": 20, "conv_width": 2.5, "dqbits": ~4096,
                                                  "use_sharp_round": True, "computesig": False, "skysigma": 8.0},
                                 "refimagefindcfg": {"threshold": 20, "conv_width": 2.5, "computesig": False,
                                                     "skysigma": 8.0},
                                 "shiftfile": True, "outshifts": "shiftir_flt.txt", "searchrad": 3.0, "ylimit": 0.6,
                                 "updatehdr": True, "wcsname": "IR_FLT", "reusename": True, "interactive": False},
         ("nan", "header")),
    Call("ultraviolet mission", "list", {"threshold": 7.5, "conv_width": 2, "fitgeometry": "general",
                                         "computesig": True, "configobj": None, "interactive": False,
                                         "shiftfile": True, "outshifts": "shift_default.txt", "updatehdr": False,
                                         "updatewcs": False}, ("shifts",)),
    Call("regions to leave out", "wildcard", {**optical(50), "exclusions": "EXCLUSIONS", "shiftfile": True,
                                              "outshifts": "shift_ex.txt", "updatehdr": False, "interactive": False},
         ("shifts", "coo")),
    Call("regions, one image", "one", {"updatehdr": False, "exclusions": "EXCLUSIONS", "writecat": True,
                                       "interactive": False, **optical(50)}, ("coo",)),
    # On a catalog.
    Call("notebook, Gaia", "list", {**GAIA, **optical(500.0), "clean": True, "see2dplot": False, "shiftfile": True},
         ("header",)),
    Call("notebook, Gaia, files by detector", "list", {**GAIA, **optical(200.0), "clean": True, "see2dplot": True,
                                                       "shiftfile": True}, ("shifts",)),
    Call("dwarf galaxies on Gaia", "list", {**GAIA, **optical(500.0), "clean": True, "writecat": False, **NO_PLOTS,
                                            "configobj": None, "searchrad": 10, "tolerance": 2.0}, ("header",)),
    Call("dwarf galaxies on Gaia, later", "list", {**GAIA, **optical(500.0), "clean": True, "writecat": False,
                                                   **NO_PLOTS}, ("header",)),
    Call("Gaia from a script", "wildcard", {"updatehdr": True, **optical(100.0), "refcat": "REFCAT",
                                            "interactive": False, "see2dplot": True, "verbose": False,
                                            "shiftfile": True, "outshifts": "gaia_shifts.txt", "wcsname": "gaia",
                                            "reusename": True, "sigma": 3, "nclip": 4, "searchrad": 2.0, "minobj": 5,
                                            "fitgeometry": "general", "exclusions": None}, ("shifts",)),
    Call("Gaia from a script, shapes by name", "wildcard",
         {"updatehdr": True, "imagefindcfg": {"threshold": 5}, "refcat": "REFCAT", "interactive": False,
          "use_sharp_round": True, "sharphi": 1, "roundhi": 1, "roundlo": -1, "sharplo": 0, "minflux": 0,
          "fluxunits": "counts", "see2dplot": True, "verbose": False, "shiftfile": True,
          "outshifts": "gaia_shifts.txt", "wcsname": "gaia", "reusename": True, "sigma": 3, "nclip": 4,
          "searchrad": 2.0, "minobj": 5, "fitgeometry": "general"}, ("shifts",)),
    Call("stars picked by hand", "list", {"updatehdr": True, **optical(100), "separation": 0.0, "refcat": "REFCAT",
                                          "clean": True, "interactive": False, "see2dplot": False, "shiftfile": True,
                                          "outshifts": "shift_rad5.txt", "wcsname": "rad5_wcs",
                                          "fitgeometry": "shift", "minobj": 3, "searchrad": 5, "reusename": True},
         ("shifts",)),
    Call("stars picked by hand, dry", "list", {"updatehdr": False, **optical(100), "separation": 0.0,
                                               "refcat": "REFCAT", "clean": True, "interactive": False,
                                               "see2dplot": False, "shiftfile": True, "outshifts": "d.txt",
                                               "wcsname": "rad5_wcs", "fitgeometry": "shift", "minobj": 3,
                                               "searchrad": 5, "reusename": True}, ("shifts",)),
    Call("lensing clusters", "one", {"updatehdr": True, "imagefindcfg": {"threshold": 10.0, "conv_width": 12.0},
                                     "separation": 0.0, "searchrad": 1.0, "searchunits": "arcseconds", "nclip": 3,
                                     "sigma": 3, "tolerance": 10, "refcat": "REFCAT", "clean": True,
                                     "interactive": False, "residplot": "both", "see2dplot": True,
                                     "shiftfile": True, "wcsname": "RELICS", "reusename": True}, ("header",)),
    Call("stack of another telescope", "wildcard", {"updatehdr": True, "refcat": "REFCAT", "interactive": False,
                                                    "imagefindcfg": {"threshold": 5, "conv_width": 2.0},
                                                    "see2dplot": False, "shiftfile": True,
                                                    "outshifts": "F356W_rscale.txt", "wcsname": "F356W_ref",
                                                    "reusename": True, "sigma": 3, "nclip": 4, "searchrad": 2.0,
                                                    "minobj": 5, "fitgeometry": "rscale"}, ("shifts", "header")),
    Call("general pipeline", "wildcard", {"searchrad": 1.0, "minobj": 15, **optical(10), "refcat": "REFCAT",
                                          "interactive": False, "shiftfile": True, "outshifts": "shifts.txt",
                                          "wcsname": "TWEAK", "reusename": True, "fitgeometry": "rscale",
                                          "exclusions": None, "updatehdr": True}, ("shifts",)),
    Call("single shift of a mosaic", "one", {"updatehdr": False, "expand_refcat": False, "enforce_user_order": True,
                                             **optical(5.0), "refcat": "REFCAT", "shiftfile": True,
                                             "outshifts": "single_shift.txt", "outwcs": "hsc_shifts_wcs.fits",
                                             "refimage": None}, ("shifts",)),
    Call("supernova pipeline, trial", "list", {"updatehdr": False, "wcsname": "TWEAK", "see2dplot": True,
                                               "residplot": "both", "fitgeometry": "rscale", "refcat": "REFCAT",
                                               "refimage": None, "refxcol": 1, "refycol": 2, "refxyunits": "degrees",
                                               "rfluxcol": 3, "rfluxunits": "mag", "refnbright": 800,
                                               "rfluxmax": None, "rfluxmin": None, "searchrad": 1.0,
                                               "conv_width": 3.5, "threshold": 4.0, "separation": 0,
                                               "interactive": False, "minobj": 10}, ("coo",)),
    Call("supernova pipeline, no fluxes", "list", {"updatehdr": True, "wcsname": "SNDRIZPIPE", "reusename": True,
                                                   **NO_PLOTS, "fitgeometry": "rscale", "refcat": "REFCAT",
                                                   "refxcol": 1, "refycol": 2, "refxyunits": "degrees",
                                                   "rfluxcol": None, "rfluxunits": None, "refnbright": None,
                                                   "rfluxmax": None, "rfluxmin": None, "fluxmin": None,
                                                   "fluxmax": None, "searchrad": 1.0, "minobj": 10, "nclip": 3,
                                                   "sigma": 3.0, "computesig": False, "skysigma": 8.0,
                                                   "peakmin": None, "peakmax": None, "threshold": 4.0,
                                                   "conv_width": 3.5, "nbright": None, "interactive": False,
                                                   "clean": False, "verbose": False, "clobber": False}, ("header",)),
    # With catalogs of the images.
    Call("stars by hst1pass", "list", {"catfile": "CATFILE", "refcat": None, "searchrad": 1.0, "interactive": False,
                                       "updatehdr": True, "shiftfile": True}, ("shifts", "header")),
    Call("stars by hst1pass, on Gaia", "list", {"catfile": "CATFILE", "refcat": "REFCAT", "searchrad": 1.0,
                                                "interactive": False, "updatehdr": True, "shiftfile": True,
                                                "reusename": True, "clean": True, "minflux": 100, "maxflux": 1e7,
                                                "fluxcol": 3, "fluxunits": "counts"}, ("header",)),
    Call("SExtractor lists", "@list", {"catfile": "CATFILE", "xcol": 1, "ycol": 2, "conv_width": 3.5,
                                       "searchrad": 3.0, "runfile": "run.log", "updatehdr": True, "nclip": 7,
                                       "shiftfile": True, "outshifts": "shift.dat", **NO_PLOTS}, ("shifts", "log")),
    Call("SExtractor lists, options as text", "@list", {"catfile": "CATFILE", "xcol": "1", "ycol": "2",
                                                        "conv_width": 2.5, "searchrad": 3.0, "runfile": "run.log",
                                                        "updatehdr": True, "nclip": 7, "shiftfile": True,
                                                        "outshifts": "shift.dat", **NO_PLOTS}, ("shifts",)),
    Call("Frontier Fields by filter", "@list", {"interactive": False, "updatehdr": True, "wcsname": "TWEAK_f814",
                                                "runfile": "tweakreg_f814.log", "catfile": "CATFILE", "xcol": 1,
                                                "ycol": 2, "fluxcol": 3, "minobj": 15, "searchrad": 1.5,
                                                "tolerance": 2.0}, ("log", "match")),
    Call("Frontier Fields, at a terminal", "@list", {"interactive": True, "updatehdr": True,
                                                     "wcsname": "TWEAK_f814", "runfile": "tweakreg_f814.log",
                                                     "catfile": "CATFILE", "xcol": 1, "ycol": 2, "fluxcol": 3,
                                                     "minobj": 15, "searchrad": 1.5}, ("log",)),
    Call("parallel grisms, from IDL", "@list", {"catfile": "CATFILE", "refcat": "REFCAT", "updatehdr": "Yes",
                                                "wcsname": "IRwcs", "xcol": 1, "ycol": 2, "fluxcol": 3,
                                                "fluxunits": "counts", "xyunits": "pixels", "refxcol": 1,
                                                "refycol": 2, "refxyunits": "degrees", "rfluxcol": 3,
                                                "rfluxunits": "mag", "minobj": 15, "searchrad": 2.0, "sigma": 2.0,
                                                "nclip": 15, "fitgeometry": "shift"}, ("header",)),
    Call("parallel grisms, later", "@list", {"catfile": "CATFILE", "refcat": "REFCAT", "updatehdr": "Yes",
                                             "wcsname": "IRwcs", "xcol": 1, "ycol": 2, "fluxcol": 3, "refxcol": 1,
                                             "refycol": 2, "minobj": 15, "searchrad": 2.0, "sigma": 2.0, "nclip": 15,
                                             "fitgeometry": "shift", "interactive": False}, ("header",)),
    Call("polarimeter, coarse", "wildcard", {"editpars": False, "catfile": "CATFILE", "shiftfile": True,
                                             "outshifts": "flt1_shifts.txt", "updatehdr": True, "verbose": False,
                                             "minobj": 15, "use2dhist": False, "see2dplot": False, "searchrad": 50,
                                             "searchunits": "pixels", "tolerance": 50.0, "separation": 30.0,
                                             "nclip": 3}, ("shifts",)),
    Call("polarimeter, fine", "wildcard", {"editpars": False, "catfile": "CATFILE", "shiftfile": True,
                                           "outshifts": "flt_shifts.txt", "updatehdr": True, "verbose": False,
                                           "minobj": 15, "use2dhist": False, "see2dplot": False, "searchrad": 15,
                                           "searchunits": "pixels", "tolerance": 3, "separation": 30.0, "nclip": 3},
         ("shifts",)),
    Call("lists by SEP", "list", {"updatewcs": False, "updatehdr": True, "verbose": True, "searchrad": 1,
                                  "searchunits": "arcseconds", "headerlet": False, "clobber": True,
                                  "catfile": "CATFILE", "xcol": "1", "ycol": "2", "xyunits": "pixels",
                                  "fluxcol": "3", "fluxunits": "cps", "refimage": None, "refcat": "REFCAT",
                                  "refxcol": "1", "refycol": "2", "refxyunits": "degrees", "rfluxcol": "3",
                                  "rfluxunits": "mag", "interactive": 0, "use2dhist": True, "see2dplot": True,
                                  "fitgeometry": "general"}, ("header", "match")),
    Call("coadd of a lens", "one", {"catfile": "CATFILE", "xcol": 1, "ycol": 2, "interactive": False,
                                    "refcat": "REFCAT", "refxcol": 1, "refycol": 2, "updatehdr": True, "nclip": 3,
                                    "peakmax": 50000, "sigma": 2.5, "searchrad": 1, "wcsname": "TWEAKCOADD",
                                    "writecat": False, "headerlet": False, "attach": False, "clobber": True,
                                    "fitgeometry": "general", "tolerance": 5.0, "shiftfile": True,
                                    "outshifts": "shift_file_coadd.txt", **NO_PLOTS, "minobj": -1}, ("shifts",)),
    Call("survey by dates, options as words", "list", {"threshold": 4.0, "searchrad": 2.0, "fitgeometry": "rscale",
                                                       "updatehdr": "True", "catfile": "CATFILE", "xcol": 1, "ycol": 2,
                                                       "fluxcol": 3, "minobj": 2, "refcat": "REFCAT", "refxcol": 1,
                                                       "refycol": 2, "rfluxcol": 3}, ("header",)),
    Call("infrared without cosmic rays", "wildcard",
         {"imagefindcfg": {"threshold": 5, "conv_width": 3.5, "dqbits": ~4096}, "expand_refcat": True,
          "enforce_user_order": False, "shiftfile": True, "outshifts": "shiftir_flt.txt", "searchrad": 2.0,
          "ylimit": 0.3, "updatehdr": True, "reusename": True, "wcsname": "IR_FLT", "interactive": False},
         ("nan", "header")),
    Call("lists by number, loop over visits", "@list",
         {"catfile": "CATFILE", "xcol": 1, "ycol": 2, "conv_width": 3.5, "searchrad": 1.0, "updatehdr": True,
          "nclip": 7, "shiftfile": True, "outshifts": "shift.dat", **NO_PLOTS}, ("shifts", "header")),
    Call("mosaics of two epochs", "two", {"refimage": "REFIMAGE", "updatehdr": True, "catfile": None, "xcol": 2,
                                          "ycol": 3, "xyunits": "pixels", "refcat": None, "refxcol": 1, "refycol": 2,
                                          "refxyunits": "degrees", "shiftfile": True, "outshifts": "f_shifts.txt",
                                          "outwcs": "f_wcs.fits", "searchrad": 5, "tolerance": 12, "wcsname": "TWEAK",
                                          "interactive": False, **NO_PLOTS, "clean": True, "headerlet": False,
                                          "clobber": True}, ("shifts", "header")),
    Call("exposures on a mosaic, order free", "list", {"updatehdr": True, "expand_refcat": False,
                                                       "enforce_user_order": False, "refimage": "REFIMAGE",
                                                       "refimagefindcfg": {"threshold": 4, "conv_width": 2.5}},
         ("header",)),
    Call("planetary camera, general fit", "list", {"wcsname": "TWEAK", "interactive": False, "updatehdr": True,
                                                   "fitgeometry": "general", "clean": True, "see2dplot": False,
                                                   "searchrad": 3, "conv_width": 2.5, "threshold": 20.0}, ("header",)),
    Call("deep field, on another image", "wildcard", {"refimage": "REFIMAGE", "refxyunits": "degrees",
                                                      "shiftfile": True, "outshifts": "f_shifts.txt",
                                                      "outwcs": "f_wcs.fits", "searchrad": 5, "tolerance": 12,
                                                      "wcsname": "TWEAK", "interactive": False, **NO_PLOTS,
                                                      "clean": True, "headerlet": False, "clobber": True},
         ("shifts",)),
]


def test_number_of_calls():
    """No two of them are the same."""
    assert len(CALLS) >= 68
    assert len({repr((call.images, call.given)) for call in CALLS}) == len(CALLS)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.who)
def test_meaning(call):
    """Every value arrives where it belongs: by itself in tweakreg or imagefindpars, or in the set it is given for."""
    given = {name: value for name, value in call.given.items() if name not in ("configobj", "editpars")}
    findcfg = given.pop("imagefindcfg", {})
    ref_findcfg = given.pop("refimagefindcfg", {})
    task, finding, ref_finding = gather_parameters(call.given.get("configobj"), findcfg, ref_findcfg, given)
    expected = [({**given}, task, finding), (findcfg, finding, finding), (ref_findcfg, ref_finding, ref_finding)]
    for values, first, second in expected:
        for name, value in values.items():
            holder = first if name in first.spec else second
            assert same(holder[holder.spec[name].name], value, holder.spec[name]), name


def same(value, given, parameter):
    """Whether a value is what was given, in any of the spellings of drizzlepac."""
    if given is None:
        return value in (None, "", False, "None", parameter.default)
    if isinstance(value, bool):
        return value == (str(given).lower() in ("true", "yes", "1"))
    if isinstance(value, str):
        return value == str(given)
    return value == float(given)


# ---- the runs

# What depends on the data of the script's author: here it is what suits our images.
OURS = {"threshold": 10, "peakmin": None, "peakmax": None, "conv_width": 3.5, "skysigma": 8.5}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Make three images of one small chip, catalogs of them and of their stars, and regions; nobody writes there."""
    folder = tmp_path_factory.mktemp("images")
    visit = simulate_visit(folder, seed=8, n_exposures=3, n_chips=1, chip_shape=(300, 360), n_stars=150,
                           n_cosmic_rays=20, bad_pixels=20)
    names = [path.name for path in visit.files]
    rows = [f"{ra:.9f} {dec:.9f} {30 - 2.5 * np.log10(flux):.3f}" for (ra, dec), flux in
            zip(visit.sky, visit.flux, strict=True)]
    (folder / "gaia.cat").write_text("\n".join(["#ra dec mag", *rows, ""]))
    lines = []
    for name, chips in zip(names, visit.chips, strict=True):
        rows = [f"{x:.4f} {y:.4f} {flux:.1f}" for (x, y), flux in zip(chips[0].xy, chips[0].flux, strict=True)]
        (folder / f"{name}.cat").write_text("\n".join([*rows, ""]))
        lines.append(f"{name} {name}.cat")
    (folder / "catfile.list").write_text("\n".join([*lines, ""]))
    (folder / "images.list").write_text("\n".join([*names, ""]))
    (folder / "area.reg").write_text("image\n-circle(50, 60, 20)\n")
    (folder / "exclusions.txt").write_text("\n".join([*(f"{name} area.reg" for name in names), ""]))
    return SimpleNamespace(folder=folder, names=names, truth=visit)


FILES = {"REFIMAGE": 0, "REFCAT": "gaia.cat", "CATFILE": "catfile.list", "EXCLUSIONS": "exclusions.txt"}


def files_of(call, names):
    """Return the images as a script names them."""
    return {"wildcard": "*flt.fits", "list": names, "commas": ",".join(names), "@list": "@images.list", "one": names[1],
            "two": names[:2]}[call.images]


def fitted(values, names):
    """Return parameters with the files of the test, and what depends on the data as it suits ours."""
    done = {}
    for name, value in values.items():
        if isinstance(value, dict):
            done[name] = fitted(value, names)
        elif isinstance(value, str) and value in FILES:
            done[name] = names[0] if value == "REFIMAGE" else FILES[value]
        else:
            done[name] = OURS.get(name, value) if value is not None else None
    return done


def kind(call):
    """Return what tells runs from each other: the images, what they are aligned with, the fit, what is written."""
    defaults = {"fitgeometry": "rscale", "updatehdr": False, "use2dhist": True, "minobj": 15}
    given = {name: call.given.get(name) or default for name, default in defaults.items()}
    files = [name for name, value in call.given.items() if str(value) in FILES]
    some = call.images if call.images in ("one", "two") else "all"
    return some, *files, given["fitgeometry"], bool(given["updatehdr"]), given["use2dhist"], given["minobj"] > 0


GROUPS = {key: [call for call in CALLS if kind(call) == key] for key in map(kind, CALLS)}


@pytest.mark.parametrize("calls", GROUPS.values(), ids=lambda calls: calls[0].who)
def test_run(calls, images, tmp_path, monkeypatch):
    """The images end where the stars are, and the next lines of all scripts find what they read."""
    reads = {what for call in calls for what in call.reads}
    call = dataclasses.replace(calls[0], reads=tuple(sorted(reads)))
    monkeypatch.chdir(tmp_path)
    for path in images.folder.iterdir():
        shutil.copy(path, tmp_path)
    given = {"threshold": 10, **NO_PLOTS, **fitted(call.given, images.names)}
    if "imagefindcfg" in call.given:
        del given["threshold"]
    given |= NO_PLOTS
    if "pngs" in call.reads:
        given["residplot"] = "both"
    if reads & {"coo", "match"}:
        given |= {"writecat": True, "clean": False}
    if reads & {"shifts", "nan"}:
        given["shiftfile"] = True
    if "log" in call.reads:
        given["runfile"] = given.get("runfile") or "tweakreg.log"
    result = TweakReg(files_of(call, images.names), **given)
    assert result.ok
    task, *_ = gather_parameters(flat={name: value for name, value in given.items() if name not in
                                       ("configobj", "editpars", "imagefindcfg", "refimagefindcfg")})
    for alignment in result.alignments:
        check_place(alignment, images, task)
    for what in call.reads:
        READS[what](result, task)


def check_place(alignment, images, task):
    """Check the sky of an image against the truth: by its header, or by the shift that was found."""
    index = images.names.index(alignment.name)
    if task.updatehdr:
        is_absolute = bool(task.refcat)
        names = [path if path.name != alignment.name else alignment.name for path in images.truth.files]
        if alignment.status is Status.ALIGNED:
            assert images.truth.residuals(names, absolute=is_absolute)[index] < 15
    elif alignment.status is Status.ALIGNED and task.refcat:
        np.testing.assert_allclose(alignment.offset, images.truth.expected_shift(index, alignment.plane.wcs)[:2],
                                   atol=0.3)


def read_shifts(result, task):
    """As a table, whose columns are taken by their place."""
    names = ["file", "dx", "dy", "rot", "scale", "xrms", "yrms"]
    table = Table.read(task.outshifts, format="ascii.no_header", names=names)
    assert list(table["file"]) == [alignment.name for alignment in result.alignments]
    np.testing.assert_allclose(table["dx"], [alignment.offset[0] for alignment in result.alignments], atol=0.2)
    assert fits.getheader(task.outwcs, "WCS")["CTYPE1"] == "RA---TAN"


def read_for_nan(result, task):
    """Line by line: the word nan would mean a failed image."""
    rows = [line for line in Path(task.outshifts).read_text().splitlines() if line[0] != "#"]
    assert len(rows) == len(result.alignments) and not any("nan" in row for row in rows)


def read_lists(result, task):
    """Of sources, in pixels and on the sky."""
    for alignment in result.alignments:
        root = alignment.name.removesuffix(".fits")
        x, y, flux, ident = np.loadtxt(f"{root}_sci1_xy_catalog.coo", unpack=True)[:4]
        ra, dec = np.loadtxt(f"{root}_sky_catalog.coo", unpack=True)
        assert len(x) == len(ra) == len(alignment.exposure.sources) and x.max() <= 360 and (flux > 0).all()


def read_matches(result, task):
    """With 18 columns, of which the last one is no number."""
    for alignment in result.alignments:
        if alignment.nmatches:
            name = alignment.name.replace(".fits", "_catalog_fit.match")
            assert len(Table.read(name, format="ascii.no_header").columns) == 18


def read_log(result, task):
    """Which names every image."""
    text = Path(task.runfile).read_text()
    assert all(alignment.name in text for alignment in result.alignments)


def read_header(result, task):
    """Whose WCS has the name that was asked for."""
    for alignment in result.alignments:
        assert fits.getval(alignment.name, "WCSNAME", ("SCI", 1)) == task.wcsname


def look_at_plots(result, task):
    """Which the script renames."""
    assert [name for name in os.listdir() if name.startswith("residuals") and name.endswith(".png")]


READS = {"shifts": read_shifts, "nan": read_for_nan, "coo": read_lists, "match": read_matches, "log": read_log,
         "header": read_header, "pngs": look_at_plots}
