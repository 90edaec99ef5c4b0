"""What to try next where an image is not aligned: a parameter, a value, and why."""

from __future__ import annotations

import re

from imagereg.alignment import Alignment
from imagereg.report import page

# What a reason says, and what helps: the paragraph READING THE RESULT of the help, with values.
_RULES = [
    (r"(?P<n>\d+) sources found, minobj=",
     [("threshold={half_threshold:g}", "finds fainter sources"),
      ("dqbits=None", "keeps stars whose pixels are flagged"),
      ("minobj={few}", "does where the field is sparse and its stars are good")]),
    (r"no source has one of the reference within searchrad",
     [("searchrad={wide_search:g}", "looks further away"),
      ("expand_refcat=yes", "helps where the image overlaps with others but not with the "
                            "reference")]),
    (r"stay on the same pixels",
     [("dqbits=''", "leaves out all flagged pixels: the matches are defects of the detector"),
      ("threshold={half_threshold:g}", "finds stars beside the defects")]),
    (r"explain the sources about|repeat themselves|transforms explain",
     [("searchrad={narrow_search:g}", "leaves out the other solution where the pointing is good"),
      ("threshold={half_threshold:g}", "finds more stars, which tell the solutions apart"),
      ("matching=tolerance", "takes offsets alone, without patterns")]),
    (r"within tolerance=|as unrelated sources|no two sources",
     [("searchrad={wide_search:g}", "looks further away: see whether the histogram has a peak"),
      ("threshold={half_threshold:g}", "finds more sources"),
      ("tolerance={wide_tolerance:g}", "matches positions that are less exact"),
      ("minobj={few}", "does where the histogram has one sharp peak and the field is sparse")]),
    (r"do not follow the correction", [("group=none", "gives the image a correction of its own")]),
    (r"would mirror",
     [("refimage=FILE", "takes another reference: the two may show different fields")]),
]


def advice(alignment: Alignment, *, threshold: float, searchrad: float,
           tolerance: float) -> list[page.Advice]:
    """Return what to try for an image that failed, the likeliest help first.

    Parameters
    ----------
    alignment : Alignment
        The failure.
    threshold, searchrad, tolerance : float
        What the run was made with.
    """
    values = {"half_threshold": threshold / 2, "wide_search": 5 * searchrad,
              "narrow_search": searchrad / 2, "wide_tolerance": 2 * tolerance, "few": 5}
    for pattern, tries in _RULES:
        if re.search(pattern, alignment.reason):
            few_do = "minobj=" not in alignment.reason  # as few as are needed where none are asked
            return [page.Advice(setting.format(**values), why) for setting, why in tries
                    if not (few_do and setting.startswith("minobj="))]
    return []
