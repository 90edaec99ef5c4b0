"""What the package declares, held against the help text that it serves and the task that it replaces."""

import pathlib
import subprocess
import sys

import pytest

from imagereg.parameters.spec import ParameterSet, Spec

ROOT = pathlib.Path(__file__).resolve().parents[3]
TASKS = ("tweakreg", "imagefindpars", "refimagefindpars")

# Parameters and defaults of the help text of tweakreg 1.0.2 (11-Apr-2012).
HELP_TEXT = {
    "input": "*flt.fits", "refimage": "", "exclusions": "", "updatewcs": False, "writecat": True,
    "clean": False, "verbose": False, "runfile": "tweakreg.log",
    "updatehdr": False, "wcsname": "TWEAK",
    "headerlet": False, "attach": True, "hdrfile": "", "clobber": False, "hdrname": "", "author": "",
    "descrip": "", "catalog": "", "history": "",
    "shiftfile": False, "outshifts": "shifts.txt", "outwcs": "shifts_wcs.fits",
    "catfile": "", "xcol": 1, "ycol": 2, "fluxcol": None, "fluxmax": None, "fluxmin": None,
    "fluxunits": "counts", "xyunits": "pixels", "nbright": None,
    "refcat": "", "refxcol": 1, "refycol": 2, "refxyunits": "degrees", "rfluxcol": None, "rfluxmax": None,
    "rfluxmin": None, "rfluxunits": "mag", "refnbright": None,
    "minobj": 15, "searchrad": 1.0, "searchunits": "arcseconds", "use2dhist": True, "see2dplot": True,
    "tolerance": 1.0, "separation": 0.0, "xoffset": 0.0, "yoffset": 0.0,
    "fitgeometry": "rscale", "residplot": "both", "nclip": 3, "sigma": 3.0,
}  # fmt: skip
HELP_TEXT_CHOICES = {
    "fluxunits": {"counts", "cps", "mag"},
    "xyunits": {"pixels", "degrees"},
    "refxyunits": {"pixels", "degrees"},
    "rfluxunits": {"counts", "cps", "mag"},
    "fitgeometry": {"shift", "rscale"},
    "residplot": {"No plot", "vector", "residuals", "both"},
}
# Sections, parameters and defaults of the three .cfgspc files of drizzlepac 3.11.0.
DRIZZLEPAC = {
    "": {
        "input": "*flt.fits", "refimage": "", "expand_refcat": False, "enforce_user_order": True,
        "exclusions": "", "writecat": True, "clean": False, "interactive": True, "verbose": False,
        "runfile": "tweakreg.log",
    },
    "UPDATE HEADER": {"updatehdr": False, "wcsname": "TWEAK", "reusename": False},
    "HEADERLET CREATION": {
        "headerlet": False, "attach": True, "hdrfile": "", "clobber": False, "hdrname": "", "author": "",
        "descrip": "", "catalog": "", "history": "",
    },
    "OPTIONAL SHIFTFILE OUTPUT": {"shiftfile": False, "outshifts": "shifts.txt", "outwcs": "shifts_wcs.fits"},
    "COORDINATE FILE DESCRIPTION": {
        "catfile": "", "xcol": "1", "ycol": "2", "fluxcol": "", "maxflux": None, "minflux": None,
        "fluxunits": "counts", "xyunits": "pixels", "nbright": None,
    },
    "REFERENCE CATALOG DESCRIPTION": {
        "refcat": "", "refxcol": "1", "refycol": "2", "refxyunits": "degrees", "rfluxcol": "",
        "rmaxflux": None, "rminflux": None, "rfluxunits": "mag", "refnbright": None,
    },
    "OBJECT MATCHING PARAMETERS": {
        "minobj": 15, "searchrad": 1.0, "searchunits": "arcseconds", "use2dhist": True, "see2dplot": True,
        "separation": 0.5, "tolerance": 1.0, "xoffset": 0.0, "yoffset": 0.0,
    },
    "CATALOG FITTING PARAMETERS": {
        "fitgeometry": "rscale", "residplot": "both", "ylimit": None, "labelsize": 8, "nclip": 3,
        "sigma": 3.0,
    },
}  # fmt: skip
DRIZZLEPAC_IMAGEFINDPARS = {
    "computesig": True, "skysigma": 0.0, "conv_width": 3.5, "peakmin": None, "peakmax": None,
    "threshold": 4.0, "nsigma": 1.5, "ratio": 1.0, "theta": 0.0, "fluxmin": None, "fluxmax": None,
    "dqbits": "", "use_sharp_round": False, "sharplo": 0.2, "sharphi": 1.0, "roundlo": -1.0,
    "roundhi": 1.0,
}  # fmt: skip
DRIZZLEPAC_BUTTONS = {"_editipars_btn_": "imagefindpars", "_editirefpars_btn_": "refimagefindpars"}
DRIZZLEPAC_RULES = {"_rule1_", "_rule2_", "_rule2a_", "_rule3_", "_rule4_"}
OURS = {"updatewcs", "psf", "report", "num_cores", "maxchance", "matching", "group", "magclip", "loss", "solution",
        "onlybetter"}
GREYING = {"triggers", "active_if", "inactive_if", "executes", "when", "code", "default"}


@pytest.fixture(params=TASKS)
def spec(request):
    """Each task's declaration."""
    return Spec.load(request.param)


@pytest.mark.parametrize("name", HELP_TEXT)
def test_help_text_is_served(name):
    """Every parameter of the help text exists, and its default is that of the help text."""
    parameter = Spec.load("tweakreg").find(name)
    default = parameter.convert(HELP_TEXT[name])
    assert parameter.default == default
    assert type(parameter.default) is type(default)
    assert HELP_TEXT_CHOICES.get(name, set()) <= set(parameter.choices)


def test_fwhmpsf_of_the_help_text_is_conv_width():
    """The examples of the help text set the kernel by another name."""
    assert Spec.load("imagefindpars")["fwhmpsf"].name == "conv_width"


def test_drizzlepac_names_and_sections():
    """Drizzlepac's TEAL may read our file: it holds all that its own holds, in the same places."""
    spec = Spec.load("tweakreg")
    for section, parameters in DRIZZLEPAC.items():
        assert [p.name for p in spec.sections[section] if p.name not in OURS] == list(parameters)
    assert list(spec.sections) == list(DRIZZLEPAC)
    assert {p.name: p.pset for p in spec.layout if p.kind == "action"} == DRIZZLEPAC_BUTTONS
    assert DRIZZLEPAC_RULES <= dict(spec.rules).keys()


def test_drizzlepac_defaults():
    """Only where the help text has another default does ours differ from drizzlepac's."""
    theirs = {name: default for section in DRIZZLEPAC.values() for name, default in section.items()}
    ours = {p.name: p.default for p in Spec.load("tweakreg")}
    assert {name for name, default in theirs.items() if ours[name] != default} == {"separation"}
    assert ours.keys() - theirs.keys() == OURS


@pytest.mark.parametrize("task", ["imagefindpars", "refimagefindpars"])
def test_drizzlepac_source_finding(task):
    """The parameter sets have drizzlepac's parameters and defaults, and four of ours."""
    many = {"imagefindpars": 5000, "refimagefindpars": 20000}  # one reference image may lie under many images
    ours = {"centroid": "psf", "findmode": "imagefind", "sexconfig": "", "nsources": many[task]}
    assert {p.name: p.default for p in Spec.load(task)} == DRIZZLEPAC_IMAGEFINDPARS | ours
    assert {p.section for p in Spec.load(task)} == {""}


def test_parameter_sets_are_alike():
    """They differ only in the words, and in a default."""
    first, second = (
        [(p.name, p.kind, p.range, p.unit, p.aliases, p.none, p.keywords) for p in Spec.load(task)]
        for task in TASKS[1:]
    )
    assert first == second


def test_declarations_are_sound(spec):
    """Each parameter has a comment that IRAF's lpar shows whole; no keyword or rule is misspelt."""
    rules = {name for name, _ in spec.rules} | {"_section_switch_"}
    for p in spec.layout:
        assert p.comment and len(p.prompt) <= 48 and not set(p.prompt) & set("\"'#\\")
        assert dict(p.keywords).keys() <= GREYING
        assert {value for _, value in p.keywords} <= rules
        assert p.unit not in spec or p.unit == p.name or spec[p.unit].kind == "option"
        assert None in p.range or p.range[0] < p.range[1]
    for name, rule in spec.rules:
        assert dict(rule).keys() <= GREYING
        compile(dict(rule)["code"], name, "exec")


def test_names_do_not_hide_methods(spec):
    """Every parameter can be read as an attribute of the set."""
    assert not [p.name for p in spec if hasattr(ParameterSet, p.name)]


def test_made_files_are_fresh():
    """The .cfg files and the tables in the help are those that the declarations give."""
    command = [sys.executable, ROOT / "scripts" / "make_tables", "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", ""), "run scripts/make_tables"


@pytest.mark.parametrize("task", TASKS)
def test_help_pages(task):
    """Help is plain text that a terminal of 80 columns shows."""
    text = (ROOT / "help" / f"{task}.help").read_text(encoding="ascii")
    assert max(map(len, text.splitlines())) <= 80
    wanted = ["NAME", "USAGE", "DESCRIPTION", "PARAMETERS", "EXAMPLES", "FILES", "SEE ALSO"]
    assert [line for line in text.splitlines() if line in wanted] == wanted


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_teal_loads_ours(task, strict, tmp_path, monkeypatch):
    """TEAL of stsci.tools reads our files, knows nothing amiss, and finds our defaults."""
    teal = pytest.importorskip("stsci.tools.teal")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for suffix in (".cfg", ".cfgspc"):
        (tmp_path / (task + suffix)).write_bytes((ROOT / "pars" / (task + suffix)).read_bytes())
    loaded = teal.load(f"{task}.cfg", strict=strict)
    spec = Spec.load(task)
    assert spec.validate(loaded) == spec.validate()
    assert [p.name for p in loaded.getParList() if p.name[0] not in "_$"] == list(spec.names)


def test_teal_saves_what_we_read(tmp_path, monkeypatch):
    """A file that TEAL saved, commas and % in it, gives the values that were set there."""
    teal = pytest.importorskip("stsci.tools.teal")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for suffix in (".cfg", ".cfgspc"):
        (tmp_path / f"tweakreg{suffix}").write_bytes((ROOT / "pars" / f"tweakreg{suffix}").read_bytes())
    pars = teal.load("tweakreg.cfg")
    pars["input"] = "a_flt.fits, b%c_flt.fits"
    pars["OBJECT MATCHING PARAMETERS"]["searchrad"] = 2.5
    pars["CATALOG FITTING PARAMETERS"]["residplot"] = "No plot"
    pars.saveParList(filename="saved.cfg")
    spec = Spec.load("tweakreg")
    saved = spec.validate(spec.read_cfg((tmp_path / "saved.cfg").read_text()))
    expected = {"input": "a_flt.fits, b%c_flt.fits", "searchrad": 2.5, "residplot": "No plot"}
    assert saved == spec.validate(expected)


@pytest.mark.parametrize("values", [{}, {"input": 'it\'s a, "b" # c', "wcsname": "a,b", "hdrfile": ""}])
def test_teal_reads_what_we_save(values, tmp_path, monkeypatch):
    """A file of ours that holds quotes, commas and # means the same to TEAL."""
    teal = pytest.importorskip("stsci.tools.teal")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = Spec.load("tweakreg")
    (tmp_path / "tweakreg.cfgspc").write_bytes((ROOT / "pars" / "tweakreg.cfgspc").read_bytes())
    (tmp_path / "mine.cfg").write_text(spec.cfg_text(values))
    assert spec.validate(teal.load("mine.cfg")) == spec.validate(values)
