"""The table WCSCORR is what stwcs makes of whole headers, to the last bit, and headers are those that go with it."""

import io
import logging
import string
import warnings

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from imagereg.wcs import history
from imagereg.wcs.alternates import archive_primary, with_original, without_alternates
from imagereg.wcs.headerlet import InMemory, silent_stwcs

_WCS = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "CRVAL1": 30.123456789012, "CRVAL2": -12.3456789,
        "CRPIX1": 507.25, "CRPIX2": 506.5, "CD1_1": 1.2345678901e-5, "CD1_2": -3.1e-6, "CD2_1": -2.9e-6,
        "CD2_2": -1.19e-5, "WCSNAME": "IDC_abc", "ORIENTAT": 14.5, "A_ORDER": 2, "A_2_0": 1e-6, "B_ORDER": 2,
        "B_2_0": 1e-6}
_OTHERS = {"IDCSCALE": 0.05, "OCX10": 0.1, "OCX11": 0.05, "OCY10": 0.04, "OCY11": 0.1, "IDCTAB": "jref$abc_idc.fits",
           "VAFACTOR": 1.0001, "CCDCHIP": 1, "DETECTOR": 2, "LTV1": 0.0, "PHOTFLAM": 1e-19, "GOODMEAN": 5.0,
           "BUNIT": "ELECTRONS"}
_PRIMARY = {"TELESCOP": "HST", "INSTRUME": "ACS", "DETECTOR": "WFC", "ROOTNAME": "x1", "IDCTAB": "jref$abc_idc.fits",
            "NPOLFILE": "jref$x_npl.fits", "NEXTEND": 2}
_CAMERAS = {"ACS": {"DETECTOR": "WFC", "FILTER1": "F606W", "FILTER2": "CLEAR2L"}, "WFC3": {"DETECTOR": "IR"},
            "WFPC2": {"FILTNAM1": "F606W", "MODE": "FULL"}, "NICMOS": {"FILTER": "F160W", "CAMERA": 3},
            "STIS": {"DETECTOR": "CCD"}, "FOC": {}}
_FIT = {"NMATCH": 12, "CRDER1": 1e-7, "CRDER2": 2e-7, "CATALOG": "GAIADR3"}
_NO_MATRIX = dict.fromkeys(("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
_PC = {**_NO_MATRIX, "PC1_1": 0.6, "PC1_2": -0.8, "PC2_1": 0.8, "PC2_2": 0.6, "CDELT1": -1e-5, "CDELT2": 1.1e-5}


def image(primary=(), chip=(), chips=2, archived=0):
    """Return the HDUs of a file of HST in memory; a keyword that is None is left out."""
    first = fits.Header({key: value for key, value in {**_PRIMARY, **dict(primary)}.items() if value is not None})
    hdus = fits.HDUList([fits.PrimaryHDU(header=first)])
    for extver in range(1, chips + 1):
        content = {**_WCS, **_OTHERS, "CRVAL2": -12.3 + 0.1 * extver, **dict(chip)}
        header = fits.Header({key: value for key, value in content.items() if value is not None})
        for number in range(archived):
            header = archive_primary(header)
            header.update({"WCSNAME": f"OLD{number}", "CRVAL1": 30.1 + number})
        hdus.append(fits.ImageHDU(np.zeros((2, 2), "f4"), header, name="SCI", ver=extver))
    return opened(hdus)


def opened(hdus):
    """Write HDUs to memory and open them from there."""
    buffer = io.BytesIO()
    fits.HDUList(hdus).writeto(buffer, output_verify="ignore")
    return fits.open(io.BytesIO(buffer.getvalue()), lazy_load_hdus=False)


def as_bytes(table):
    """Return a table as it stands in a file."""
    buffer = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(buffer)
    return buffer.getvalue()[2880:]


def solved(hdus, name="FIT", **keywords):
    """Return headers with a new WCS."""
    changed = {index: hdu.header.copy() for index, hdu in enumerate(hdus) if hdu.name == "SCI"}
    for header in changed.values():
        header.update({"WCSNAME": name, "CRVAL1": header["CRVAL1"] + 1.234567890123e-5, **_FIT, **keywords})
    return changed


def by_stwcs(hdus, changed):
    """Return the table that stwcs makes, in bytes; None where it fails."""
    from stwcs.wcsutil import wcscorr

    before = [with_original(hdus[index].header, hdus[index].header) for index in changed]
    copy = InMemory([fits.PrimaryHDU(header=hdus[0].header.copy())])
    copy.extend(fits.ImageHDU(header=header) for header in before)
    copy.extend(hdu for hdu in hdus if hdu.name == "WCSCORR")
    try:
        with silent_stwcs():
            wcscorr.init_wcscorr(copy)
            for place, header in enumerate(changed.values(), 1):
                copy[place] = fits.ImageHDU(header=without_alternates(header))
            wcscorr.update_wcscorr(copy)
        return as_bytes(copy["WCSCORR"])
    except Exception:  # of all kinds
        return None


def recorded(hdus, changed):
    """Return the new file, and its table in bytes, None where the history can't be kept."""
    changed, table = history.record(hdus, {index: header.copy() for index, header in changed.items()})
    kept = [hdu for hdu in hdus if hdu.name != "WCSCORR"]
    for index, header in changed.items():
        kept[index] = type(kept[index])(kept[index].data, header)
    if table is None:
        return opened(kept), None
    written = as_bytes(table)
    return opened([*kept, fits.BinTableHDU.fromstring(written)]), written


def same_as_stwcs(hdus, *names, **keywords):
    """Enter WCSs of these names one after the other, compare each time, and return the last file."""
    for name in names:
        new = solved(hdus, name, **keywords)
        again = opened(hdus)
        hdus, ours = recorded(hdus, new)
        assert ours is not None
        assert ours == by_stwcs(again, new)
    return hdus


def rows_of(hdus):
    """Return EXTVER, letter and name of the rows in use."""
    return [(row["EXTVER"], row["WCS_key"], row["WCS_ID"]) for row in hdus["WCSCORR"].data if row["WCS_ID"]]


@pytest.mark.parametrize("chips", [1, 2, 4])
@pytest.mark.parametrize("camera", _CAMERAS)
def test_new_and_longer_tables(camera, chips):
    """The first table has room for four solutions, the fifth one makes it longer, the sixth needs no more room."""
    hdus = image({"INSTRUME": camera, **_CAMERAS[camera]}, chips=chips)
    length = (2 + 1 + 4) * chips
    for number in range(1, 7):
        hdus = same_as_stwcs(hdus, f"FIT{number}")
        assert len(hdus["WCSCORR"].data) == length + (2 * chips if number > 4 else 0)
        assert hdus["WCSCORR"].header["TROWS"] == (2 + number) * chips
    assert rows_of(hdus)[:chips + 1] == [*((extver, "O", "OPUS") for extver in range(1, chips + 1)), (1, "", "IDC_abc")]
    assert rows_of(hdus)[-1] == (chips, "", "FIT6")


def test_headers():
    hdus = image()
    before = [hdu.header.copy() for hdu in hdus]
    new = solved(hdus)
    after, _ = recorded(hdus, new)
    before[0]["NEXTEND"] = 3
    assert after[0].header.tostring() == before[0].tostring()
    for index, header in new.items():
        assert after[index].header.tostring() == with_original(header, before[index]).tostring()
        assert after[index].header["WCSNAMEO"] == "OPUS" and after[index].header["CRVAL1O"] == before[index]["CRVAL1"]
    changed, _ = history.record(after, solved(after, "TWO"))
    assert sorted(changed) == [1, 2] and changed[1]["CRVAL1O"] == before[1]["CRVAL1"]


@pytest.mark.parametrize("archived", [1, 2, 23])
def test_alternates(archived):
    hdus = same_as_stwcs(image(archived=archived), "ONE", "TWO")
    assert len(rows_of(hdus)) == 2 * (archived + 2 + 2)


def test_name_used_again():
    """A row that is there is not entered again; with a SIPNAME stwcs does not see that it is there."""
    hdus = same_as_stwcs(image(), "ONE", "TWO")
    rows = rows_of(hdus)
    assert rows_of(same_as_stwcs(hdus, "ONE", "TWO")) == rows
    assert len(rows_of(same_as_stwcs(image({"SIPNAME": "x1_abc"}), "ONE", "ONE"))) == len(rows)


def test_row_of_one_chip_is_there():
    hdus = same_as_stwcs(image(), "ONE")
    table = hdus["WCSCORR"]
    table.data["EXTVER"][-1] = 0
    table.data["WCS_ID"][5] = "OTHER"  # SCI,2 of ONE
    hdus = same_as_stwcs(opened(hdus), "ONE")
    assert rows_of(hdus)[-2:] == [(2, "", "OTHER"), (2, "", "ONE")]


@pytest.mark.parametrize("primary", [
    {"NPOLFILE": None, "D2IMFILE": "jref$y_d2i.fits"}, {"NPOLFILE": "N/A", "D2IMFILE": " "}, {"IDCTAB": None},
    {"IDCTAB": "/a/b/c_idc.fits", "NPOLFILE": "q_flt.fits", "D2IMFILE": "_d2i.fits"},
    {"IDCTAB": "ir$x_cal.fits_idc.fits"},
    {"IDCTAB": "N/A"}, {"IDCTAB": "abc.hhh"}, {"SIPNAME": "x1_abc"}, {"SIPNAME": "other"}, {"SIPNAME": "None"},
    {"HDRNAME": "a headerlet with a name of more than 24"}, {"HDRNAME": "it's ", "DESCRIP": "by hand " * 7},
    {"DESCRIP": True}, {"NPOLNAME": "n", "D2IMNAME": "d", "SIPNAME": "s"}, {"ROOTNAME": "x" * 30},
    {"NEXTEND": None}, {"INSTRUME": None}, {"REFFRAME": "GSC1"}, {"REFFRAME": "OTHER"},
])  # fmt: skip
def test_keywords_of_the_file(primary):
    same_as_stwcs(image(primary), "ONE", "TWO", "TWO")


@pytest.mark.parametrize("chip", [
    {"WCSNAME": None}, {"WCSNAME": " "}, {"WCSNAME": "it's / it"}, {"WCSNAME": "n" * 60}, {"WCSNAME": 5},
    {"CRVAL1": 0.0}, {"CRPIX1": 0}, {"CD1_2": 0.0}, {"CD1_1": 1.0, "CD2_2": 1.0}, {"CD1_1": None},
    {"CD1_1": -1.2345678901234567e-5, "CRPIX2": 1024.123456789012345, "CRVAL1": 359.99999999999997},
    {"CD1_1": 1 / 3 * 1e-5, "CD2_2": 2 / 3 * 1e-5}, _PC, {**_PC, "PC1_2": 0.0}, {**_NO_MATRIX, "CDELT1": 1e-5},
    {**_NO_MATRIX, "CDELT1": -1e-5, "CDELT2": 1e-5, "CROTA2": 30.0}, {"LONPOLE": 180.0, "LATPOLE": 0.0},
    {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "A_ORDER": None, "B_ORDER": None}, {"CUNIT1": "deg", "CUNIT2": "deg"},
    {"CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "PV1_1": 1.0, "PV1_4": 1e-3, "PV2_1": 1.0, "A_ORDER": None,
     "B_ORDER": None}, {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "A_ORDER": None, "B_ORDER": None},
    {"WCSAXES": 2, "RADESYS": "FK5", "EQUINOX": 2000.0}, {"CUNIT1": "arcsec", "CUNIT2": "arcsec"},
    {"NMATCH": 7.0, "RMS_RA": 0.1},
])  # fmt: skip
@pytest.mark.parametrize("camera", ["WFC3", "FOC"])
def test_wcs_of_other_kinds(camera, chip):
    same_as_stwcs(image({"INSTRUME": camera, **_CAMERAS[camera]}, chip, archived=1), "ONE", "TWO")


@pytest.mark.parametrize("keywords", [
    {"NMATCH": 3.7}, {"NMATCH": True}, {"CATALOG": "c" * 60}, {"CATALOG": 7}, {"CRDER1": 0}, {"CRDER1": 1},
    {"CD1_1": 1.0, "CD2_2": 1.0, "CD1_2": 0.0}, {"WCSNAME": "w" * 68},
])  # fmt: skip
def test_new_wcs_of_other_kinds(keywords):
    same_as_stwcs(image(), "ONE", **keywords)


def with_table(change):
    """Return a file with a table that `change` was done to: array in, array out."""
    hdus = same_as_stwcs(image(), "ONE")
    changed = change(np.array(hdus["WCSCORR"].data))
    table = fits.BinTableHDU(changed, name="WCSCORR")
    table.header["TROWS"] = (6, "Number of updated rows in table")
    return opened([*hdus[:-1], table])


def retyped(array, **types):
    """Return a table with some columns of other types; those of type None are left out."""
    kept = {name: types.get(name, array.dtype[name]) for name in array.dtype.names}
    new = np.zeros(len(array), [(name, kind) for name, kind in kept.items() if kind is not None])
    for name in new.dtype.names:
        new[name] = array[name]
    return new


def extended(array, name, kind):
    """Return a table with one more column, which is full of ones."""
    new = np.ones(len(array), [*((name, array.dtype[name]) for name in array.dtype.names), (name, kind)])
    for known in array.dtype.names:
        new[known] = array[known]
    return new


_TABLES = {
    "wider texts": lambda table: retyped(table, WCS_ID="S68", HDRNAME="S60", CTYPE1="S8"),
    "narrower texts": lambda table: retyped(table, WCS_ID="S5", DESCRIP="S3", Catalog="S2"),
    "other numbers": lambda table: retyped(table, CRVAL1=">f4", NMatch=">i2", EXTVER=">i4", CRPIX1=">i4"),
    "columns missing": lambda table: retyped(table, CD1_1=None, Catalog=None, WCS_key=None),
    "a number more": lambda table: extended(table, "MORE", ">f8"),
    "numbers more": lambda table: extended(table, "MORE", (">i4", (3,))),
    "a text more": lambda table: extended(table, "MORE", "S12"),
    "a truth more": lambda table: extended(table, "MORE", "?"),
    "columns in another order": lambda table: table[list(table.dtype.names)[::-1]].copy(),
    "names in capitals": lambda table: extended(retyped(table, Catalog=None, NMatch=None), "CATALOG", "S3"),
    "one row unused": lambda table: table[:7],
    "two rows unused": lambda table: table[:8],
    "three rows unused": lambda table: table[:9],
    "unused rows 0.0": lambda table: np.where(table["WCS_ID"] == b"", np.array((b"0.0", *table[-1])[:1]
                                              + tuple(table[-1])[1:], table.dtype), table),
    "texts with blanks": lambda table: np.array([tuple(cell.ljust(200) if isinstance(cell, bytes) else cell
                                                       for cell in row) for row in table[:6].tolist()]
                                                + table[6:].tolist(), table.dtype),
    "many rows": lambda table: np.concatenate([table, *[table[-1:]] * 500]),
}  # fmt: skip


@pytest.mark.parametrize("kind", _TABLES)
def test_tables_of_others(kind):
    same_as_stwcs(with_table(_TABLES[kind]), "TWO", "THREE", "FOUR")


@pytest.mark.parametrize("column", ["WCS_ID", "EXTVER", "SIPNAME", "HDRNAME", "NPOLNAME", "D2IMNAME"])
def test_outdated_table_is_made_anew(column):
    """It is the table of a file without one; stwcs, given the new header alone, takes that WCS for the first one."""
    outdated = with_table(lambda table: retyped(table, **{column: None}))
    new = solved(outdated, "TWO")
    assert recorded(outdated, new)[1] == by_stwcs(opened([hdu for hdu in outdated if hdu.name != "WCSCORR"]), new)


_FAILURES = {
    "no unused row": (lambda: with_table(lambda table: table[:6]), "none of its rows is unused"),
    "no row": (lambda: with_table(lambda table: table[:0]), "none of its rows is unused"),
    "an image": (lambda: opened([*image(), fits.ImageHDU(np.zeros(3), name="WCSCORR")]), "Keyword 'TFIELDS' not found"),
    "a number for a text": (lambda: with_table(lambda table: extended(retyped(table, Catalog=None), "Catalog", ">f8")),
                          "its column Catalog is of format D"),
    "scaled": (lambda: with_table(lambda table: extended(table, "MORE", "u2")), "columns of a kind"),
    "complex": (lambda: with_table(lambda table: extended(table, "MORE", "c8")), "a column of format C"),
    "drizzled": (lambda: image({"NDRIZIM": 4}), "a drizzled image has none"),
    "no ROOTNAME": (lambda: image({"ROOTNAME": None}), "Keyword 'ROOTNAME' not found"),
    "two matrices": (lambda: image(chip={f"{key}A": value for key, value in {**_WCS, **_PC}.items()
                                         if value is not None and len(key) < 8}), "SCI,1 has no CD1_1A"),
    "half an alternate": (lambda: image(chip={"WCSNAMEB": "B"}), "No WCS"),
    "another number": (lambda: opened([*image()[:1], *image()[2:]]), "EXTVER of its images is [2], not 1, 2, ..."),
    "count as text": (lambda: same_as_stwcs(image(), "ONE"), "invalid literal"),
}  # fmt: skip


@pytest.mark.parametrize("kind", _FAILURES)
def test_what_can_not_be_recorded(kind, caplog):
    """It is a warning with its reason, and the table is left as it is."""
    make, reason = _FAILURES[kind]
    hdus = make()
    new = solved(hdus, "NEW", **({"NMATCH": "many"} if kind == "count as text" else {}))
    before = hdus[0].header.copy()
    with caplog.at_level(logging.WARNING):
        changed, table = history.record(hdus, new)
    assert table is None and sorted(changed) == sorted(new)
    assert [record.message for record in caplog.records][0].startswith("the table WCSCORR is left as it is: ")
    assert reason in caplog.text
    assert hdus[0].header == before
    if kind not in ("scaled", "complex"):  # which stwcs leaves as they are
        assert by_stwcs(hdus, new) is None


@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(640, 4719), st.sampled_from(b"0123456789ADJIEPX =/.-'")), min_size=1, max_size=9))
def test_damaged_table(damage):
    """Damage to the header of a table, after the cards that say where it ends, is a warning at worst."""
    buffer = io.BytesIO()
    hdus = same_as_stwcs(image(), "ONE")
    hdus.writeto(buffer)
    new = solved(hdus, "TWO")
    content = bytearray(buffer.getvalue())
    start = content.index(b"XTENSION= 'BINTABLE'")
    for place, byte in damage:
        content[start + place] = byte
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of astropy, about cards that are none
        damaged = fits.open(io.BytesIO(bytes(content)), lazy_load_hdus=False)
        changed, _ = history.record(damaged, new)
    assert changed[1]["WCSNAME"] == "TWO"


_NUMBERS = st.floats(-1e3, 1e3).filter(lambda value: abs(value) > 1e-12)
_TEXTS = st.text(st.sampled_from(string.printable[:95]), max_size=50)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(st.floats(0, 360), st.floats(-90, 90), *[st.floats(-1e4, 1e4)] * 2, *[_NUMBERS] * 4, _TEXTS, _TEXTS)
def test_any_values(ra, dec, x, y, a, b, c, d, name, text):  # noqa: PLR0913, PLR0917
    assume(abs(a * d - b * c) > 1e-9)
    wcs = {"CRVAL1": ra, "CRVAL2": dec, "CRPIX1": x, "CRPIX2": y, "CD1_1": a, "CD1_2": b, "CD2_1": c, "CD2_2": d,
           "WCSNAME": name}
    hdus = image({"HDRNAME": text, "DESCRIP": text}, wcs, chips=1, archived=1)
    same_as_stwcs(hdus, "ONE", "TWO")


_KEYWORDS = ("ROOTNAME", "IDCTAB", "NPOLFILE", "D2IMFILE", "SIPNAME", "HDRNAME", "NPOLNAME", "NEXTEND")
_FILES = ("N/A", "jref$abc_idc.fits", "x/y_npl.fits", "NONE")
_CARDS = st.dictionaries(st.sampled_from(_KEYWORDS),
                         st.one_of(st.none(), _TEXTS, st.integers(-9, 9), st.sampled_from(_FILES)))


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(_CARDS, st.integers(1, 2))
def test_any_keywords_of_the_file(cards, chips):
    """Whatever stwcs can make a table of, the table is the same, and the rest is no traceback."""
    hdus = image(cards, chips=chips)
    new = solved(hdus)
    theirs = by_stwcs(opened(hdus), new)
    _, ours = recorded(hdus, new)
    assert theirs in (None, ours)
