"""What an input stands for: lists with inverse-variance maps, associations, waivered files, and what lies beside."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import example, given
from hypothesis import strategies as st

from imagereg.errors import InputError
from imagereg.files.images.fits import read_image, read_ivm
from imagereg.files.images.instruments import MEMBER_SUFFIXES, quality_file
from imagereg.files.inputs import (
    InputFile,
    ensure_mef,
    expand_input,
    mef_inputs,
    parse_list,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("sub/deep")
    for name in ("a_flt.fits", "b_flt.fits", "a_ivm.fits", "b_ivm.fits", "sub/c_flt.fits", "sub/c_ivm.fits",
                 "sub/deep/d_flt.fits"):
        Path(name).touch()
    return tmp_path


def write(name, text):
    Path(name).write_text(text)


def test_bracket_in_a_name(folder):
    """One that nothing closes stands for itself."""
    write("[a][_flt.fits", "")
    assert expand_input("?a?[_*.fits") == expand_input("[[]a[]][_flt*") == [InputFile("[a][_flt.fits")]


# Lists


def test_list_with_maps(folder):
    write("sub/list", "# exposure  map\n../a_flt.fits ../a_ivm.fits\r\nc_flt.fits\tc_ivm.fits # good\n\n"
                      f"../b_flt.fits INDEF\ndeep/d_flt.fits none\n{folder}/a_flt.fits\n")
    with pytest.raises(InputError, match="share a name"):
        expand_input("@sub/list")
    write("sub/list", Path("sub/list").read_text().rsplit("\n", 2)[0])
    assert expand_input("@sub/list") == [
        InputFile("sub/../a_flt.fits", "sub/../a_ivm.fits"), InputFile("sub/c_flt.fits", "sub/c_ivm.fits"),
        InputFile("sub/../b_flt.fits"), InputFile("sub/deep/d_flt.fits")]


@pytest.mark.parametrize("given, expected", [
    (["@maps", "*_flt.fits"], [InputFile("a_flt.fits", "a_ivm.fits"), InputFile("b_flt.fits")]),
    ("*_flt.fits,@maps", [InputFile("a_flt.fits", "a_ivm.fits"), InputFile("b_flt.fits")]),
    ("[a,b]_flt.fits", [InputFile("a_flt.fits"), InputFile("b_flt.fits")]),
    ("sub/?_flt.fits , b*flt.fits,", [InputFile("sub/c_flt.fits"), InputFile("b_flt.fits")]),
    (("b_flt.fits", Path("a_flt.fits")), [InputFile("b_flt.fits"), InputFile("a_flt.fits")]),
    ("@sub/nested", [InputFile("sub/deep/d_flt.fits"), InputFile("sub/c_flt.fits")]),
    ("@wild", [InputFile("a_flt.fits", "a_ivm.fits")]),
    ("@mark", [InputFile("a_flt.fits")]),
], ids=str)
def test_combinations(folder, given, expected):
    write("maps", "a_flt.fits a_ivm.fits\n")
    write("wild", "a_fl?.fits a_ivm.fits\n")
    write("mark", "\ufeffa_flt.fits\n")
    write("sub/nested", "@deep/list\nc_flt.fits\n@deep/list\n")
    write("sub/deep/list", "d_flt.fits\n")
    assert expand_input(given) == expected


@pytest.mark.parametrize("given, says", [
    ("@three", "three has one catalog, a.cat, for ?_flt.fits, which stands for 2 files"),
    ("@nocat", "x.cat, a catalog of a_flt.fits, does not exist"),
    ("@commas", "commas, line 1: 'a_flt.fits, b_flt.fits', expected the name of a file"),
    ("@nomap", "x_ivm.fits, the inverse-variance map of a_flt.fits, does not exist"),
    ("@many", "many has one inverse-variance map, a_ivm.fits, for ?_flt.fits, which stands for 2 files"),
    ("@maps,@others", "a_flt.fits has two inverse-variance maps, a_ivm.fits and b_ivm.fits"),
    ("@itself", "itself names itself"),
    ("@chain0", "chain of more than 16 lists"),
    ("@sub/turn", "turn names itself, by way of "),
    ("x_flt.fits[sci,1]", "x_flt.fits does not exist"),
    ("x_asn.fits", "x_asn.fits does not exist"),
    ("@a\0", "is no name of a file"),
    ([3], "3 stands among the input files"),
    ("@", "can't be read"),
    ("sub/", "sub/ is not a file"),
])
def test_what_is_wrong_is_said(folder, given, says):
    write("three", "a_flt.fits a_ivm.fits\n?_flt.fits a.cat b.cat\n")
    write("nocat", "a_flt.fits x.cat\n")
    write("commas", "a_flt.fits, b_flt.fits\n")
    write("nomap", "a_flt.fits x_ivm.fits\n")
    write("many", "?_flt.fits a_ivm.fits\n")
    write("maps", "a_flt.fits a_ivm.fits\n")
    write("others", "a_flt.fits b_ivm.fits\n")
    write("itself", "a_flt.fits\n@./itself\n")
    write("sub/turn", "@deep/list\n")
    write("sub/deep/list", "@../turn\n")
    for number in range(20):
        write(f"chain{number}", f"@chain{number + 1}\n")
    with pytest.raises(InputError) as error:
        expand_input(given)
    assert says in str(error.value)


@given(text=st.text(max_size=200) | st.text("@#,~[]*?. \n\tax/\0", max_size=80))
@example(text="~\0/x")
@example(text="@@list")
@example(text="[!\n]]*")
def test_any_text_is_a_list_or_an_input_error(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("lists") / "list"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for attempt in (lambda: parse_list(text, "list"), lambda: expand_input(f"@{path}"), lambda: expand_input(text)):
        try:
            found = attempt()
        except InputError as error:
            assert str(error)
        else:
            assert found


@given(st.lists(st.tuples(st.text("abc._-0", min_size=1), st.none() | st.text("xyz.", min_size=1)), min_size=1),
       st.sampled_from([" ", "\t", "   "]), st.sampled_from(["\n", "\r\n", "\n\n", " # x y z\n"]))
def test_what_is_written_is_read(pairs, between, end):
    text = "".join(name + (f"{between}{ivm}" if ivm else "") + end for name, ivm in pairs)
    assert parse_list(text, "list") == [list(filter(None, pair)) for pair in pairs]


# Associations


def association(path, rows, columns=("MEMNAME", "MEMTYPE", "MEMPRSNT")):
    """Write an association table of rows (name, type, present)."""
    values = dict(zip(("MEMNAME", "MEMTYPE", "MEMPRSNT"), zip(*rows, strict=True), strict=True))
    formats = {"MEMNAME": "14A", "MEMTYPE": "14A", "MEMPRSNT": "L"}
    table = fits.BinTableHDU.from_columns([fits.Column(name, formats[name], array=np.array(values[name]))
                                           for name in columns], name="ASN")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)


ROWS = [("J8BT06NYQ", "EXP-DTH", True), ("J8BT06NZQ", "EXP-DTH", True), ("J8BT06O0Q", "EXP-DTH", False),
        ("J8BT06LAMP", "AUTO-WAVECAL", True), ("J8BT06010", "PROD-DTH", True)]


def test_association(folder):
    association("sub/j8bt06010_asn.fits", ROWS)
    for name in ("j8bt06nyq_flt.fits", "j8bt06nyq_flc.fits", "j8bt06nzq_flt.fits.gz", "j8bt06010_drz.fits"):
        Path("sub", name).touch()
    members = [InputFile("sub/j8bt06nyq_flc.fits"), InputFile("sub/j8bt06nzq_flt.fits.gz")]
    assert expand_input("sub/j8bt06010_asn.fits") == members
    assert expand_input(["sub/*_asn.fits", "a_flt.fits"]) == [*members, InputFile("a_flt.fits")]
    write("list", "sub/j8bt06010_asn.fits\n")
    assert expand_input("@list") == members
    write("list", "sub/j8bt06010_asn.fits a_ivm.fits\n")
    with pytest.raises(InputError, match="stands for 2 files"):
        expand_input("@list")


@pytest.mark.parametrize("number", range(len(MEMBER_SUFFIXES)))
def test_preferred_suffix(folder, number):
    association("x_asc.fits", [("U2EX0101T", "EXP-CRJ", True)], columns=("MEMNAME", "MEMTYPE"))
    for suffix in MEMBER_SUFFIXES[number:]:
        Path(f"u2ex0101t{suffix}").touch()
    assert expand_input("x_asc.fits") == [InputFile(f"u2ex0101t{MEMBER_SUFFIXES[number]}")]


def test_names_as_users_write_them(folder):
    association("x_asn.fits", [("Mine_v2.fits", "EXP-DTH", True), ("a_flt", "EXP-DTH", True)])
    Path("Mine_v2.fits").touch()
    assert expand_input("x_asn.fits") == [InputFile("Mine_v2.fits"), InputFile("a_flt.fits")]


def test_bad_associations(folder):
    association("missing_asn.fits", ROWS)
    with pytest.raises(InputError) as error:
        expand_input("missing_asn.fits")
    assert all(part in str(error.value) for part in ("missing_asn.fits", "J8BT06NYQ", "j8bt06nyq_flc.fits, "))
    association("none_asn.fits", ROWS[2:])
    with pytest.raises(InputError, match="none_asn.fits names no exposure that is present"):
        expand_input("none_asn.fits")
    association("columns_asn.fits", ROWS, columns=("MEMNAME",))
    fits.PrimaryHDU().writeto("empty_asn.fits")
    for name in ("columns_asn.fits", "empty_asn.fits"):
        with pytest.raises(InputError, match="no table with the columns MEMNAME and MEMTYPE"):
            expand_input(name)
    write("text_asn.fits", "no table at all")
    with pytest.raises(InputError, match="can't be read as FITS"):
        expand_input("text_asn.fits")


# Waivered files


def waivered(path, *, planes=4, kind="SCI", dtype=np.float32, **table):
    """Write a waivered file as the archive has them for WFPC2; return its planes and the WCS keywords of each."""
    random = np.random.default_rng(planes)
    cube = random.integers(0, 100, (planes, 8, 10)).astype(dtype)
    numbers = np.arange(planes)
    values = {"CRVAL1": 150 + numbers / 3, "CRVAL2": 2.2 - numbers / 7, "CRPIX1": 4 + numbers, "CRPIX2": 3.5 + numbers,
              "CD1_1": np.full(planes, -2.77e-5), "CD1_2": numbers * 1e-7, "CD2_1": -numbers * 1e-7,
              "CD2_2": np.full(planes, 2.77e-5)}
    columns = [fits.Column(name, "D25.17", array=value) for name, value in values.items()]
    columns += [fits.Column("CTYPE1", "A8", array=["RA---TAN"] * planes),
                fits.Column("CTYPE2", "A8", array=["DEC--TAN"] * planes),
                fits.Column("DETECTOR", "I11", array=numbers + 1), fits.Column("PHOTFLAM", "E15.7", array=numbers / 3)]
    columns += [fits.Column(name, "E15.7", array=[value] * planes) for name, value in table.items()]
    primary = fits.PrimaryHDU(cube if planes > 1 else cube[0])
    primary.header.update({"INSTRUME": "WFPC2", "FILETYPE": kind, "ROOTNAME": "U2EX0101T", "SDASMGNU": planes,
                           "CRVAL1": 150.0, "CTYPE1": "RA---TAN", "EXPTIME": 40.0, "FILENAME": Path(path).name})
    fits.HDUList([primary, fits.TableHDU.from_columns(columns)]).writeto(path)
    return cube, values


@pytest.mark.parametrize("planes", [1, 4])
def test_waivered_file_becomes_extensions(tmp_path, planes, caplog):
    path, flags = str(tmp_path / "u2ex0101t_c0f.fits"), str(tmp_path / "u2ex0101t_c1f.fits")
    cube, values = waivered(path, planes=planes)
    waivered(flags, planes=planes, kind="SDQ", dtype=np.int16)
    before = Path(path).read_bytes()
    with caplog.at_level("INFO"):
        made = ensure_mef(InputFile(path)).path
    assert made == str(tmp_path / "u2ex0101t_c0h.fits")
    assert sum("u2ex0101t_c0h.fits" in message for message in caplog.messages) == 1
    assert Path(path).read_bytes() == before
    with fits.open(made) as hdus:
        assert len(hdus) == planes + 1 and hdus[0].header["NAXIS"] == 0
        assert hdus[0].header["FILENAME"] == "u2ex0101t_c0h.fits"
        for extver in range(1, planes + 1):
            hdu = hdus["SCI", extver]
            np.testing.assert_array_equal(hdu.data, cube[extver - 1])
            wcs = WCS(hdu.header)
            np.testing.assert_allclose(wcs.wcs.crval, (values["CRVAL1"][extver - 1], values["CRVAL2"][extver - 1]),
                                       rtol=1e-15)
            assert hdu.header["DETECTOR"] == extver
    assert quality_file(made) == str(tmp_path / "u2ex0101t_c1h.fits")
    with fits.open(quality_file(made)) as hdus:
        assert [hdu.ver for hdu in hdus[1:]] == list(range(1, planes + 1))


def test_what_was_converted_is_kept(tmp_path, caplog):
    path = str(tmp_path / "u2ex0101t_c0f.fits")
    waivered(path)
    made = ensure_mef(InputFile(path)).path
    fits.setval(made, "WCSNAME", value="TWEAK", extname="SCI")
    with caplog.at_level("INFO"):
        assert ensure_mef(InputFile(path)).path == made and ensure_mef(InputFile(made)).path == made
    assert fits.getval(made, "WCSNAME", ext=("SCI", 1)) == "TWEAK"
    assert sum("converted before" in message for message in caplog.messages) == 1
    assert sorted(os.listdir(tmp_path)) == ["u2ex0101t_c0f.fits", "u2ex0101t_c0h.fits"]


def test_inputs_with_waivered_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    waivered("u1_c0f.fits")
    waivered("u2.fits", planes=2)
    fits.PrimaryHDU(np.zeros((3, 3))).writeto("u3.fits")
    write("u4.fits", "not FITS: reading it says so")
    Path("ivm").touch()
    given = [InputFile("u1_c0f.fits", "ivm"), *map(InputFile, ("u2.fits", "u3.fits", "u4.fits"))]
    expected = [InputFile("u1_c0h.fits", "ivm"), InputFile("u2_mef.fits"), InputFile("u3.fits"), InputFile("u4.fits")]
    assert mef_inputs(given) == expected
    assert mef_inputs([*given, InputFile("u1_c0h.fits")]) == expected


def test_conversion_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path = str(tmp_path / "u1_c0f.fits")
    waivered(path, BAD=np.nan)
    with pytest.raises(InputError, match="u1_c0f.fits is waivered FITS that can't be converted"):
        ensure_mef(InputFile(path))
    assert os.listdir(tmp_path) == ["u1_c0f.fits"]


@pytest.mark.parametrize("change", ["rows", "binary", "keywords", "more"])
def test_other_files_are_left_alone(tmp_path, change):
    path = str(tmp_path / "x_c0f.fits")
    cube = fits.PrimaryHDU(np.zeros((3, 4, 5), np.float32))
    column = fits.Column("MAG" if change == "keywords" else "CRVAL1", "D" if change == "binary" else "E15.7",
                         array=np.arange(2.0 if change == "rows" else 3.0))
    table = (fits.BinTableHDU if change == "binary" else fits.TableHDU).from_columns([column])
    fits.HDUList([cube, table, *([table.copy()] if change == "more" else [])]).writeto(path)
    assert ensure_mef(InputFile(path)).path == path
    assert os.listdir(tmp_path) == ["x_c0f.fits"]


# What lies beside an exposure


@pytest.mark.parametrize("image, flags", [
    ("u1_c0m.fits", "u1_c1m.fits"), ("u1_c0f.fits", "u1_c1f.fits"), ("u1_c0h.fits", "u1_c1h.fits"),
    ("sub/u1_c0m.fits", "sub/u1_c1m.fits.gz"), ("u1_c0m.fits.gz", "u1_c1m.fits"), ("U1_C0M.FITS", "U1_C1M.FITS"),
])
def test_quality_file(tmp_path, image, flags):
    (tmp_path / "sub").mkdir()
    image, flags = str(tmp_path / image), str(tmp_path / flags)
    assert quality_file(image) is None
    Path(flags).touch()
    assert quality_file(image) == flags


@pytest.mark.parametrize("name", ["j1_flt.fits", "u1_c1m.fits", "c0m.txt"])
def test_no_quality_file(tmp_path, name):
    for other in ("u1_c1m.fits", "j1_flt.fits", "u1_c2m.fits"):
        (tmp_path / other).touch()
    assert quality_file(str(tmp_path / name)) is None


@pytest.mark.parametrize("instrument, expected", [
    ("STIS", [("x.fits[sci,1]", [1]), ("x.fits[sci,2]", [2]), ("x.fits[sci,3]", [3])]),
    ("ACS", [("x.fits", [1, 2, 3])]), (None, [("x.fits", [1, 2, 3])]),
])
def test_exposures_of_a_file(tmp_path, celestial_headers, instrument, expected):
    def exposures():
        with read_image(path) as image:
            return [(name, [chip.extver for chip in chips]) for name, _, chips in image.exposures()]

    path = str(tmp_path / "x.fits")
    hdus = fits.HDUList([fits.PrimaryHDU()])
    if instrument:
        hdus[0].header.update({"TELESCOP": "HST", "INSTRUME": instrument})
    hdus += [fits.ImageHDU(np.zeros((3, 3)), celestial_headers["CD"], name=name, ver=ver)
             for ver in (3, 1, 2) for name in ("SCI", "DQ")]
    hdus.writeto(path)
    assert exposures() == expected
    fits.PrimaryHDU(np.zeros((3, 3)), celestial_headers["CD"]).writeto(path, overwrite=True)
    assert exposures() == [("x.fits", [1])]


# Inverse-variance maps


def maps(path, *images):
    """Write images (name, ver, array); the one with no name is the primary."""
    hdus = [fits.ImageHDU(array, name=name, ver=ver) for name, ver, array in images if name]
    primary = fits.PrimaryHDU(next((array for name, _, array in images if not name), None))
    fits.HDUList([primary, *hdus]).writeto(path)
    return str(path)


MAP = np.arange(12, dtype=np.float32).reshape(3, 4) - 1


def test_map_by_extver(tmp_path):
    path = maps(tmp_path / "ivm.fits", ("SCI", 1, MAP), ("SCI", 2, 2 * MAP), ("IVM", 2, 3 * MAP), ("WHT", 4, MAP))
    for extver, factor in ((1, 1), (2, 3), (4, 1)):
        found = read_ivm(path, extver, (3, 4))
        assert found.dtype == float and found.flags.owndata and found.dtype.isnative
        np.testing.assert_array_equal(found, factor * MAP)
    with pytest.raises(InputError, match="ivm.fits has no inverse-variance map for chip 3: neither IVM,3 nor SCI,3$"):
        read_ivm(path, 3, (3, 4))
    with pytest.raises(InputError, match=r"has the shape \(3, 4\), and chip 1 of the exposure \(4, 3\)"):
        read_ivm(path, 1, (4, 3))


@pytest.mark.parametrize("name", ["", "WEIGHT"])
def test_single_map(tmp_path, name):
    path = maps(tmp_path / "ivm.fits", (name, 1, MAP))
    np.testing.assert_array_equal(read_ivm(path, 1, (3, 4)), MAP)
    with pytest.raises(InputError, match="for chip 2"):
        read_ivm(path, 2, (3, 4))


def test_no_map(tmp_path):
    path = maps(tmp_path / "ivm.fits", ("ERR", 1, MAP), ("DQ", 1, MAP))
    with pytest.raises(InputError, match="nor one single image"):
        read_ivm(path, 1, (3, 4))
    with pytest.raises(InputError, match="can't be read"):
        read_ivm(str(tmp_path / "none.fits"), 1, (3, 4))
    (tmp_path / "text.fits").write_text("SIMPLE")
    with pytest.raises(InputError, match="can't be read"):
        read_ivm(str(tmp_path / "text.fits"), 1, (3, 4))
