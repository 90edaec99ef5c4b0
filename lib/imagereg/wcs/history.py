"""The table WCSCORR, in which HST files keep the history of their WCS, just as stwcs writes it.

It has a row for each chip and each WCS that the file ever had, then some that are unused. What
stands in a row is what ``stwcs.wcsutil.wcscorr`` enters there; the tests compare both.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import logging
import re
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from imagereg.wcs.alternates import ORIGINAL, with_original
from imagereg.wcs.keywords import is_wcs_keyword, text

# The columns with their formats. ORIENTAT and PA_V3 are not filled.
_SELECTORS = {"WCS_ID": "40A", "EXTVER": "I", "WCS_key": "A"}
_OF_FILE = {"HDRNAME": "24A", "SIPNAME": "24A", "NPOLNAME": "24A", "D2IMNAME": "24A"}
_OF_WCS = {"CRVAL1": "D", "CRVAL2": "D", "CRPIX1": "D", "CRPIX2": "D", "CD1_1": "D", "CD1_2": "D",
           "CD2_1": "D", "CD2_2": "D", "CTYPE1": "24A", "CTYPE2": "24A"}
_NOT_FILLED = {"ORIENTAT": "D", "PA_V3": "D"}
_OF_FIT = {"RMS_RA": "D", "RMS_Dec": "D", "NMatch": "J", "Catalog": "40A"}
_FIT_KEYWORDS = ("CRDER1", "CRDER2", "NMATCH", "CATALOG")  # which fill these
_ABOUT = {"DESCRIP": "128A"}
_COLUMNS = _SELECTORS | _OF_FILE | _OF_WCS | _NOT_FILLED | _OF_FIT | _ABOUT
# A row is there already if it has the same of all these; a table that lacks one is made anew.
_TOLD_BY = ("WCS_ID", "EXTVER", *_OF_FILE)
_DEFAULTS = {"CD1_1": 1.0, "CD2_2": 1.0}  # of unused rows, where these are not 0
_UNUSED = (b"", b"0.0")  # WCS_ID of unused rows
_SPARE_ROWS = 4  # for each chip, in a new table

_FORMAT = re.compile(r"(\d*)([AIJKEDBL])")  # others are not known here
_NUMBERS = {"I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8", "B": "u1", "L": "V1"}
_FITS_BLOCK = 2880  # bytes

_TELLS_WCS = re.compile(r"(?:WCSNAME|CTYPE1|CRPIX1|CRVAL1|RADESYS)([A-Z]?)$")
_ROTATION = ("CROTA1", "CROTA2")  # of a primary WCS, which alternates do not have
_SIP = re.compile(r"-SIP *'")  # of a CTYPE
_KEEP_PC = ("ACS", "WFC3", "WFPC2", "NICMOS", "STIS")  # others' PC matrices are made CD matrices
_DRIZZLED = ("NDRIZIM", "D001DATA")
_NONE = "NONE"  # instead of the name of a file
_NO_FILE = ("", "N/A", _NONE, "INDEF")
_ENDINGS = ("_crj.fits", "_flt.fits", "_flc.fits", "_sfl.fits", "_cal.fits", "_raw.fits", ".c0h",
            ".hhh", "_c0h.fits", "_c0f.fits", "_c1f.fits", ".fits")

log = logging.getLogger(__name__)


def keeps_history(hdus: fits.HDUList) -> bool:
    """Whether a file is one of HST whose WCS stwcs made."""
    science = [hdu.header for hdu in hdus if hdu.name == "SCI"]
    from_stwcs = bool(science) and all("IDCSCALE" in header for header in science)
    return from_stwcs and hdus[0].header.get("TELESCOP") == "HST"


def record(
    hdus: fits.HDUList, changed: dict[int, fits.Header]
) -> tuple[dict[int, fits.Header], fits.BinTableHDU | None]:
    """Enter a new WCS into the history, as ``drizzlepac`` does.

    The table is made where there is none; the WCS of before is then also archived under the letter
    O.

    Parameters
    ----------
    hdus : astropy.io.fits.HDUList
        The file as it was.
    changed : dict of int to astropy.io.fits.Header
        New headers by index.

    Returns
    -------
    changed : dict of int to astropy.io.fits.Header
        The headers, with what belongs to the table; the primary one if NEXTEND changes.
    table : astropy.io.fits.BinTableHDU or None
        The table; None where it can't be made, which is logged.
    """
    changed = {index: with_original(header, hdus[index].header)
               for index, header in changed.items()}
    try:
        table = _continued(hdus, changed)
    except (VerifyError, LookupError, ValueError, TypeError, AttributeError, ArithmeticError,
            OSError) as error:  # whatever cards and cells may hold
        log.warning("the table WCSCORR is left as it is: %s", error)
        return changed, None
    primary = hdus[0].header
    extensions = len(hdus) - ("WCSCORR" in hdus)
    if primary.get("NEXTEND", extensions) != extensions:
        primary = primary.copy()
        primary["NEXTEND"] = extensions
        changed = {0: primary, **changed}
    return changed, table


@dataclasses.dataclass(frozen=True, eq=False)
class _Chip:
    """What a row is made of.

    Parameters
    ----------
    extver : int
        Number of the chip.
    header : astropy.io.fits.Header
        Its header.
    cards : dict of str to list of str
        By letter, ' ' for the primary one, the cards of each WCS as they are written.
    keeps_pc : bool
        Whether a PC matrix stays one.
    """

    extver: int
    header: fits.Header
    cards: dict[str, list[str]]
    keeps_pc: bool

    @classmethod
    def of(cls, header: fits.Header, primary: fits.Header) -> _Chip:
        """Return the chip of a header; `primary` is that of the file."""
        cards = collections.defaultdict(list)
        for card in header.cards:
            keyword = card.rawkeyword
            if is_wcs_keyword(keyword) or keyword in _ROTATION:
                cards[" "].append(card.image)
            elif is_wcs_keyword(keyword[:-1]):
                cards[keyword[-1]].append(card.image)
        return cls(header.get("EXTVER", 1), header, cards, primary.get("INSTRUME") in _KEEP_PC)

    @property
    def letters(self) -> set[str]:
        """Letters of its WCSs, ' ' for the primary one."""
        return {match[1] or " " for match in map(_TELLS_WCS.match, self.header) if match}

    def wcs(self, key: str) -> dict[str, Any]:
        """Return the values of a WCS by keyword without letter, rounded as wcslib writes them."""
        from astropy.wcs import WCSHDO_P14, WCSHDO_safe, Wcsprm

        own = "".join(_SIP.sub("'", card).ljust(fits.Card.length) for card in self.cards[key])
        wcs = Wcsprm(header=own.encode("ascii"), key=key, relax=True, warnings=False)
        wcs.fix()
        wcs.set()
        if wcs.has_pc() and not self.keeps_pc:
            wcs.cd = wcs.pc * wcs.cdelt[1]
        written = wcs.to_header(WCSHDO_P14 | WCSHDO_safe)
        size = fits.Card.length
        lines = [written[start:start + size] for start in range(0, len(written), size)]
        cards = {line[:8].rstrip().removesuffix(key): line[10:] for line in lines}
        values = {keyword: _value(cards[keyword]) for keyword in _OF_WCS if keyword in cards}
        if wcs.has_cd():
            for i, j in itertools.product((1, 2), repeat=2):
                pc = _value(cards.get(f"PC{i}_{j}", str(int(i == j))))
                values[f"CD{i}_{j}"] = _value(cards[f"CDELT{i}"]) * pc
        return {"WCSNAME": wcs.name.rstrip(), **values}


def _value(card):
    """Return the value of a card from what follows its keyword and =, as wcslib writes it."""
    quoted = card.split("'")
    return quoted[1].rstrip() if len(quoted) > 1 else float(card.partition("/")[0])


def _chips(headers, primary):
    """Return the chips with these headers in order of EXTVER, which has to be 1, 2, ..."""
    chips = sorted((_Chip.of(header, primary) for header in headers), key=lambda chip: chip.extver)
    numbers = [chip.extver for chip in chips]
    if numbers != list(range(1, len(chips) + 1)):
        raise ValueError(f"EXTVER of its images is {numbers}, not 1, 2, ...")
    return chips


def _continued(hdus, changed):
    """Return the table with a row for the new WCS of each chip."""
    primary = hdus[0].header
    if any(keyword in primary for keyword in _DRIZZLED):
        raise ValueError("a drizzled image has none")
    new = _chips(changed.values(), primary)
    header, table = _read(hdus["WCSCORR"]) if "WCSCORR" in hdus else (None, None)
    if table is None:
        old = _chips([hdus[index].header for index in changed], primary)
        table = _first_table(primary, old, new)
        header = _header_of(table, used=2 * len(new))  # so stwcs counts them
    rows = _new_rows(primary, new, table)
    if rows:
        added = _filled(rows, len(new))
        first = _first_unused(table)
        table = _merged(table, added, first)
        header["NAXIS2"] = len(table)
        header["TROWS"] = first + len(added)
    data = table.tobytes()
    data += bytes(-len(data) % _FITS_BLOCK)
    return fits.BinTableHDU.fromstring(header.tostring().encode("ascii") + data)


def _first_table(primary, old, new):
    """Return a table of the WCS of the first calibration and of those before the new one."""
    letters = sorted(old[0].letters - {ORIGINAL})
    wcss = [(key, chip, chip.wcs(key)) for key in letters for chip in old]
    columns = _columns_of(wcss[0][-1])
    of_file = {column: primary.get(column, "") for column in (*_OF_FILE, *_ABOUT)}
    rows = []
    for chip in new:
        wcs = chip.wcs(ORIGINAL)
        known = {column: wcs[column] for column in columns if column in wcs}
        rows.append({"WCS_ID": "OPUS", "EXTVER": chip.extver, "WCS_key": ORIGINAL,
                     **of_file, **known})
    of_file |= {"SIPNAME": _sip_name(primary, old[0].header), **_other_distortions(primary)}
    default = _default_name(primary)
    for key, chip, wcs in wcss:
        name = default  # of alternates too, as stwcs has it
        if key == " " and wcs["WCSNAME"]:
            name = wcs["WCSNAME"]
        rows.append({"WCS_ID": name, "EXTVER": chip.extver, "WCS_key": key,
                     **of_file, **_picked(wcs, columns, chip, key)})
    return _filled(rows, len(rows) + (1 + _SPARE_ROWS) * len(new))


def _new_rows(primary, chips, table):
    """Return the rows of the primary WCSs of chips that are not in the table."""
    of_file = {column: primary[column] for column in (*_OF_FILE, *_ABOUT) if column in primary}
    wcss = [chip.wcs(" ") for chip in chips]
    columns = _columns_of(wcss[0])
    rows = []
    for chip, wcs in zip(chips, wcss, strict=True):
        told_by = {"WCS_ID": chip.header["WCSNAME"], "EXTVER": chip.extver, "SIPNAME": "None",
                   "HDRNAME": primary.get("HDRNAME", ""), **_other_distortions(primary)}
        if _is_there(table, told_by):
            continue
        fit = {column: chip.header[keyword]
               for column, keyword in zip(_OF_FIT, _FIT_KEYWORDS, strict=True)
               if keyword in chip.header}
        rows.append({**told_by, **of_file, **_picked(wcs, columns, chip, " "), **fit})
    return rows


def _columns_of(wcs):
    """Return the columns that a WCS fills: all, or no CD matrix."""
    return [column for column in _OF_WCS if column in wcs]


def _picked(wcs, columns, chip, key):
    """Return what a WCS fills columns with; ValueError where it lacks one."""
    for column in columns:
        if column not in wcs:
            raise ValueError(f"SCI,{chip.extver} has no {column}{key.strip()}")
    return {column: wcs[column] for column in columns}


def _default_name(primary):
    """Return the name of a WCS without one."""
    if "IDCTAB" not in primary:
        return "DEFAULT"
    return f"IDC_{_reference_name(primary, 'IDCTAB', '_idc')}"


def _sip_name(primary, header):
    """Return the name of the distortion of a file by its primary header and that of a chip."""
    name = primary.get("SIPNAME")
    if "IDCTAB" in primary:
        model = _reference_name(primary, "IDCTAB", "_idc")
        return name if model in str(name) else f"{primary['ROOTNAME']}_{model}"
    return "UNKNOWN" if "A_ORDER" in header or "B_ORDER" in header else name


def _other_distortions(primary):
    """Return the names of the distortion that are no polynomial, by column."""
    names = {"NPOLNAME": _reference_name(primary, "NPOLFILE", "_npl"),
             "D2IMNAME": _reference_name(primary, "D2IMFILE", "_d2i")}
    return {column: "NOMODEL" if name == _NONE else name for column, name in names.items()}


def _reference_name(primary, keyword, suffix):
    """Return the name of a reference file without folder, ending and suffix."""
    name = text(primary, keyword)
    if name in _NO_FILE:
        return _NONE
    name = name[name.find("$") + 1:].rpartition("/")[2].strip()
    end = next((place for place in map(name.find, _ENDINGS) if place > 0), len(name))
    return name[:end].replace(suffix, "").strip()


def _is_there(table, told_by):
    """Whether a row of the table has these values."""
    same = np.full(len(table), True)
    for column, value in told_by.items():
        cells = table[column]
        if cells.dtype.kind == "S":
            cells = np.char.rstrip(cells)
            value = str(value).rstrip().encode("ascii")
        same &= cells == value
    return same.any()


def _first_unused(table):
    """Return the number of the first row that is unused."""
    unused = np.flatnonzero(np.isin(np.char.rstrip(table["WCS_ID"]), _UNUSED))
    if not len(unused):
        raise ValueError("none of its rows is unused")
    return int(unused[0])


def _filled(rows, length):
    """Return a table with these rows, by column, and unused ones after them."""
    table = np.zeros(length, [(name, *_field(form)) for name, form in _COLUMNS.items()])
    for column, value in _DEFAULTS.items():
        table[column] = value
    for place, row in enumerate(rows):
        for column, value in row.items():
            table[column][place] = value
    return table


def _merged(table, added, first):
    """Return a table with rows from a place on, longer if that leaves no row unused."""
    ours = [column for column in table.dtype.names if column in _COLUMNS]
    if first + len(added) > len(table) - 1:
        room = 2 * len(added)
        longer = np.zeros(len(table) + room, table.dtype)  # np.concatenate turns bytes around
        longer[:len(table)] = table
        for column in ours:
            longer[column][first:first + room] = table[column][-1]
        table = longer
    for column in ours:
        table[column][first:first + len(added)] = added[column]
        if table.dtype[column].kind == "S":
            table[column] = _without_blanks(table[column])
    return table


def _without_blanks(texts):
    """Return texts without blanks at their end, but blank ones with one, as astropy writes them."""
    stripped = np.char.rstrip(texts, b" ")
    is_blank = (stripped == b"") & np.char.startswith(texts, b" ")
    return np.where(is_blank, b" ", stripped)


def _read(hdu):
    """Return header and rows of a table; None for a table that is to be made anew."""
    header = hdu.header.copy()
    names = [header[f"TTYPE{i}"] for i in range(1, header["TFIELDS"] + 1)]
    if not set(_TOLD_BY) <= set(names):
        return None, None
    forms = [header[f"TFORM{i}"] for i in range(1, len(names) + 1)]
    dtype = np.dtype([(name, *_field(form)) for name, form in zip(names, forms, strict=True)])
    for name in set(names) & set(_COLUMNS):
        kinds = {"S"} if _COLUMNS[name].endswith("A") else set("iuf")
        if dtype[name].kind not in kinds:
            raise ValueError(f"its column {name} is of format {forms[names.index(name)]}")
    is_plain = not (header["PCOUNT"] or header["TSCAL*"] or header["TZERO*"])
    if not is_plain or dtype.itemsize != header["NAXIS1"]:
        raise ValueError("it has columns of a kind that is not known here")
    info = hdu.fileinfo()
    info["file"].seek(info["datLoc"])
    data = info["file"].read(dtype.itemsize * header["NAXIS2"])
    return header, np.frombuffer(data, dtype).copy()


def _field(form):
    """Return dtype and shape of a column by its TFORM."""
    match = _FORMAT.fullmatch(form)
    if not match:
        raise ValueError(f"it has a column of format {form}")
    repeat = int(match[1] or 1)
    if match[2] == "A":
        return f"S{repeat}", ()
    return _NUMBERS[match[2]], () if repeat == 1 else (repeat,)


def _header_of(table, used):
    """Return the header of a new table."""
    cards = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", table.dtype.itemsize, "length of dimension 1"),
        ("NAXIS2", len(table), "length of dimension 2"),
        ("PCOUNT", 0, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", len(_COLUMNS), "number of table fields"),
    ]
    for number, (name, form) in enumerate(_COLUMNS.items(), 1):
        cards += [(f"TTYPE{number}", name, ""), (f"TFORM{number}", form, "")]
    cards += [
        ("EXTNAME", "WCSCORR", "Table with WCS Update history"),
        ("TROWS", used, "Number of updated rows in table"),
        ("EXTVER", 1, ""),
    ]
    return fits.Header.fromstring("".join(_written(*card) for card in cards))


def _written(keyword, value, comment):
    """Return a card as it is written; `fits.Card` takes ten times as long."""
    shown = f"'{value:8}'".ljust(20) if isinstance(value, str) else f"{value:20}"
    return f"{keyword:8}= {shown}{' / ' if comment else ''}{comment}".ljust(fits.Card.length)
