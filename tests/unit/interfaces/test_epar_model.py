"""The model of the editor: rows, rules, changes and their undoing, files."""

import os
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagereg.errors import ImageregError, InputError, ParameterError
from imagereg.interfaces.epar import rows
from imagereg.interfaces.epar.model import TASKS, Model
from imagereg.parameters.gather import gather_parameters
from imagereg.parameters.spec import Spec

ROOT = pathlib.Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Set a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def model():
    """Model of tweakreg with the defaults."""
    return Model.open("tweakreg")


# ---- rows

@pytest.mark.parametrize("task", TASKS)
def test_rows_are_those_of_the_declaration(task):
    rows, layout = Model.open(task).rows, Spec.load(task).layout
    assert [row.parameter for row in rows] == list(layout)
    assert not any(row.changed or row.edited for row in rows)
    assert all(row.text == row.default for row in rows)


def test_a_row(model):
    model.set("searchunits", "pix")
    model.set("sigma", "indef")
    row = model.row("searchrad")
    assert (row.text, row.default, row.unit, row.kind) == ("1.0", "1.0", "pixels", "float")
    assert row.parameter.range == (0.0, None)
    assert row.parameter.section == "OBJECT MATCHING PARAMETERS" and row.parameter.hidden
    assert not model.row("input").parameter.hidden
    assert (model.row("sigma").unit, model.row("rminflux").unit) == ("sigma", "mag")
    assert (model.row("sigma").text, model.row("verbose").text) == ("INDEF", "no")
    assert model.row("verbose").choices == ("yes", "no") and model.row("xyunits").choices == ("pixels", "degrees")
    assert model.row("fluxmax").name == "maxflux"
    with pytest.raises(ParameterError, match="parameter `skymap' not found"):
        model.row("skymap")


@pytest.mark.parametrize("task", TASKS)
def test_shown_values_are_read_again(task):
    model = Model.open(task)
    for row in model.rows:
        if not row.pset:
            model.set(row.name, row.text)
    assert not model.dirty and not model.can_undo


@pytest.mark.parametrize(("name", "text", "words"), [
    ("searchrad", "-1", "Parameter value is out of range  (minimum=0.: maximum=)"),
    ("maxchance", "2", "Parameter value is out of range  (minimum=0.: maximum=1.)"),
    ("nbright", "0", "Parameter value is out of range  (minimum=1: maximum=)"),
    ("ylimit", "0", "Parameter value is out of range  (minimum=0.001: maximum=)"),
    ("nclip", "3.5", "Parameter value is not a whole number"),
    ("sigma", "x", "Parameter value is not a number, or INDEF"),
    ("verbose", "perhaps", "Parameter value is not yes or no"),
    ("xyunits", "feet", "Parameter value is not one of  (pixels|degrees)"),
    ("input", "a\nb", "Parameter value is not one line of text"),
    ("imagefindpars", "x", "`imagefindpars' is a parameter set: open it to change what it holds"),
])
def test_refusals(model, name, text, words):
    with pytest.raises(ParameterError) as error:
        model.set(name, text)
    assert str(error.value) == words
    assert not model.dirty and not model.can_undo


# ---- rules

@pytest.mark.parametrize(("changes", "name", "why"), [
    ({}, "wcsname", "not used while updatehdr = no"),
    ({"updatehdr": "yes"}, "wcsname", ""),
    ({}, "updatehdr", ""),
    ({}, "xcol", "not used while catfile is empty"),
    ({"catfile": "a.lst"}, "xcol", ""),
    ({"catfile": "  "}, "xcol", "not used while catfile =   "),
    ({}, "maxflux", ""),
    ({}, "rfluxcol", "not used while refcat is empty"),
    ({"refcat": "gaia.csv"}, "rfluxcol", ""),
    ({}, "refimagefindpars", "not used while refimage is empty"),
    ({"refimage": "a.fits"}, "refimagefindpars", ""),
    ({}, "xoffset", "not used while use2dhist = yes"),
    ({"use2dhist": "no"}, "xoffset", ""),
    ({"use2dhist": "no"}, "see2dplot", "not used while use2dhist = no"),
])
def test_greying(model, changes, name, why):
    for changed, text in changes.items():
        model.set(changed, text)
    assert model.row(name).why == why


def test_greying_in_a_set(model):
    child = model.child("imagefindpars")
    assert child.row("skysigma").why and child.row("sharplo").why
    child.set("computesig", "no")
    child.set("use_sharp_round", "yes")
    assert not child.row("skysigma").why and not child.row("sharplo").why


@pytest.mark.parametrize(("code", "value", "result"), [
    ('OUT = VAL == "yes"', "yes", True),
    ('OUT = VAL.strip() != ""', "  ", False),
    ('OUT = VAL.lower() in ("a", "b")', "B", None),
    ('OUT = VAL.upper() == "A" and not VAL in "xyz" or VAL == "q"', "a", True),
    ('OUT = VAL not in "abc"', "d", True),
    ("from imagereg import tweakreg; tweakreg.edit_imagefindpars()", "", None),
    ('OUT = __import__("os").getcwd()', "", None),
    ("OUT = VAL.__class__", "", None),
    ('OUT = VAL.format("x")', "", None),
    ("OUT = 1; X = 2", "", None),
])
def test_rules_are_formulas(code, value, result):
    if result is None:
        with pytest.raises(ValueError, match="expected OUT = formula|a rule can't hold"):
            rows.evaluate(code, value)
    else:
        assert rows.evaluate(code, value) is result


# ---- sets, undo, search, completion, help

def test_a_set_is_part_of_the_document(model):
    child = model.child("imagefindpars")
    assert (child.title, child.task, child.parent) == ("imagefindpars of tweakreg", "imagefindpars", model)
    child.set("threshold", "50")
    assert model.row("imagefindpars").changed and model.row("imagefindpars").edited and model.dirty
    assert not model.row("refimagefindpars").changed
    model.undo()
    assert child.row("threshold").text == "4.0" and not model.dirty
    with pytest.raises(ParameterError, match="parameter `sigma' is not a pset parameter"):
        model.child("sigma")


def test_leaving_a_set_without_keeping(model):
    model.child("imagefindpars").set("ratio", "0.5")
    child = model.child("imagefindpars")
    child.set("threshold", "50")
    child.abort()
    assert child.values["imagefindpars"].changed == ("ratio",) and model.outcome == ""


def test_defaults(model):
    child = model.child("imagefindpars")
    for name, text in (("nclip", "5"), ("sigma", "2"), ("minobj", "9")):
        model.set(name, text)
    child.set("threshold", "50")
    model.unset("sigma")
    assert model.values["tweakreg"].changed == ("minobj", "nclip")
    model.unlearn()
    assert not model.values["tweakreg"].changed and model.row("imagefindpars").changed
    model.unset("imagefindpars")
    assert not model.row("imagefindpars").changed
    model.undo()
    model.undo()
    assert model.row("imagefindpars").changed and model.row("nclip").changed
    model.unlearn(everything=True)
    assert not model.dirty


changes = st.lists(st.one_of(
    st.tuples(st.just("set"), st.sampled_from(["nclip", "minobj"]), st.integers(0, 99).map(str)),
    st.tuples(st.just("set"), st.just("input"), st.text("ab,\"' #%=", max_size=6)),
    st.tuples(st.just("set"), st.just("threshold"), st.floats(0, 1e6).map(str)),
    st.tuples(st.just("unset"), st.sampled_from(["nclip", "input"])),
    st.tuples(st.sampled_from(["unlearn", "undo", "redo"])),
), max_size=12)


def apply(model, child, change):
    """Make one change; return whether it was possible."""
    verb, *arguments = change
    try:
        getattr(child if "threshold" in arguments else model, verb)(*arguments)
    except ParameterError as error:
        assert str(error) in ("nothing to undo", "nothing to redo")
        return False
    return True


@given(changes)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_undo_takes_back_whatever_was_done(changes):
    model = Model.open("tweakreg")
    child, start = model.child("imagefindpars"), model.values
    for change in changes:
        apply(model, child, change)
    end, count = model.values, 0
    while model.can_undo:
        model.undo()
        count += 1
    assert model.values == start and not model.dirty
    for _ in range(count):
        model.redo()
    assert model.values == end


def test_search(model):
    first = model.search("FLUX")
    found = [first]
    while (name := model.search("flux", found[-1])) != first:
        found.append(name)
    rows = sorted(model.all_rows, key=lambda row: row.owner != "")
    assert found == [row.name for row in rows
                     if "flux" in f"{row.label} {row.parameter.comment} {row.parameter.section} {row.text}".lower()]
    assert model.search("flux", backward=True) == found[-1]
    assert model.search("flux", found[1], backward=True) == found[0]
    assert model.search("shifts_wcs") == "outwcs" and model.search("UPDATE HEADER") == "updatehdr"
    assert model.search("nowhere at all") is None and model.search("imagefindpars") == "imagefindpars"


def test_search_goes_into_the_sets(model):
    """From the set where one is, first to its own rows."""
    assert model.search("threshold") == "imagefindpars.threshold"
    assert model.search("threshold", "imagefindpars.threshold") == "refimagefindpars.threshold"
    child = model.child("refimagefindpars")
    assert child.search("threshold") == "refimagefindpars.threshold"
    assert child.search("threshold", "threshold") == "imagefindpars.threshold"
    assert child.search("searchunits") == "searchunits"
    assert model.search("imagefindpars.thr") == "imagefindpars.threshold"


def test_rows_of_sets_by_their_full_names(model):
    name = "imagefindpars.threshold"
    model.set(name, "77")
    assert model.row(name).text == "77.0" == model.child("imagefindpars").row("threshold").text
    assert model.row("imagefindpars").edited and "4.0" in model.help(name)
    model.unset(name)
    assert not model.row(name).changed and model.complete("imagefindpars.centroid", "m") == ["marginal"]
    with pytest.raises(ParameterError, match="parameter `nosuch' is not a pset parameter"):
        model.row("nosuch.threshold")


def test_most_used(model):
    model.most_used = True
    assert [row.name for row in model.rows] == list(rows.MOST_USED)
    assert model.child("imagefindpars").rows == Model.open("imagefindpars").rows
    model.most_used = False
    assert len(model.rows) == len(Spec.load("tweakreg").layout)
    with pytest.raises(ParameterError, match="imagefindpars has no shorter view"):
        Model.open("imagefindpars").most_used = True


def test_completion(model, tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a_flt.fits", "b[1].fits", "list.txt"):
        (tmp_path / name).touch()
    assert model.complete("fitgeometry", "R") == ["rshift", "rscale"]
    assert model.complete("verbose") == ["yes", "no"] and model.complete("nclip", "1") == []
    assert model.complete("refimage", "a") == ["a_flt.fits"] and model.complete("input", "i") == ["images/"]
    assert model.complete("input", "x.fits, @li") == ["x.fits, @list.txt"]
    assert model.complete("refimage", "b[") == ["b[1].fits"] and model.complete("wcsname", "a") == []
    assert f"{tmp_path}/a_flt.fits" in model.complete("catfile", f"{tmp_path}/")


def test_what_names_files():
    named = {p.name: p.file for p in Spec.load("tweakreg") if p.file}
    assert named.pop("input") == "list" and set(named.values()) == {"in", "out"}
    assert {p.name for p in Spec.load("tweakreg") if " file" in p.comment.lower() and p.kind == "string"} - {
        "clobber"} <= {*named, "input"}


def test_help(model):
    assert model.help("fluxmax").startswith("maxflux = INDEF\n    Highest flux of a source.")
    assert "USAGE" in model.help() and model.help("imagefindpars") == model.child("imagefindpars").help()


# ---- files

def test_save_in_the_users_folder(model, home):
    model.set("nclip", "5")
    model.child("imagefindpars").set("threshold", "50")
    assert model.path == str(home / ".imagereg" / "tweakreg.cfg") and model.result is None
    model.save()
    assert (model.outcome, model.dirty, model.message) == ("saved", False, f"saved in {model.path}")
    assert model.result == model.values == Model.open("tweakreg").values
    assert Model.open("imagefindpars").row("threshold").text == "50.0"
    model.undo()
    assert model.dirty and model.row("imagefindpars").edited
    model.save()
    assert not Model.open("tweakreg").row("imagefindpars").changed


texts = st.text(st.sampled_from("ab \"'#,%=[]$"), max_size=8)


@given(task=st.fixed_dictionaries({}, optional={"input": texts, "wcsname": texts, "sigma": st.none() | st.floats(0, 9),
                                                "nclip": st.integers(0, 9), "verbose": st.booleans()}),
       finding=st.fixed_dictionaries({}, optional={"threshold": st.floats(0, 99), "fluxmax": st.floats(-9, 9)}),
       ref=st.fixed_dictionaries({}, optional={"threshold": st.floats(0, 99), "sexconfig": texts}))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_what_is_loaded_and_run_with(tmp_path, task, finding, ref):
    model = Model.open("tweakreg", dict(zip(TASKS[:3], (task, finding, ref), strict=True)))
    path = str(tmp_path / "mine.cfg")
    model.save_as(path, force=True)
    other = Model.open("tweakreg", {"tweakreg": {"minobj": 99}})
    other.load(path)
    assert other.values == model.values == {values.task: values for values in gather_parameters(path)}
    assert (other.path, other.dirty) == (path, False)
    other.undo()
    assert other.dirty and other.path != path and other.values["tweakreg"].minobj == 99


def test_a_stale_file(model, tmp_path):
    """What TEAL saved for another version: unknown keys stay, missing and wrong ones are the defaults, all is told."""
    path = tmp_path / "old.cfg"
    path.write_text('_task_name_ = tweakreg# Task\ninput = "a, b"# Images\nfuture = "x#1"\nminobj = -3\n'
                    "[UPDATE HEADER]\nwcsname = MINE\nother = 2\n[NEW THINGS]\nthing = 3\n[[deep]]\n'k=1' = 4\n"
                    "[imagefindpars]\nthreshold = 9\nodd = 5\n[_RULES_]\nx = 1\n")
    model.set("nclip", "5")
    model.load("old.cfg")
    unknown, missing, *wrong = sorted(model.notes, key=lambda note: ("unknown" not in note, "not in" not in note))
    assert unknown == f"{path}: unknown, and left in the file: future, other, thing, k=1, odd"
    assert "nclip" in missing and "wcsname" not in missing
    expected = "expected a whole number >= -1; the default is shown"
    assert wrong == [f"{path}: tweakreg: parameter 'minobj' = '-3': {expected}"]
    assert model.message.startswith(f"read {path}; ") and "and 2 more" in model.message
    assert model.values["tweakreg"].changed == ("input", "wcsname")
    model.save()
    again = Spec.load("tweakreg").read_cfg(path.read_text())
    assert again["future"] == "x#1" and again["UPDATE HEADER"]["other"] == "2"
    assert again["NEW THINGS"] == {"thing": "3", "deep": {"k=1": "4"}} and again["imagefindpars"]["odd"] == "5"
    loaded = Model.open("tweakreg")
    loaded.load(str(path))
    assert loaded.values == model.values and loaded.notes == (unknown,)


@pytest.mark.parametrize(("text", "words"), [
    ("_task_name_ = imagefindpars\nthreshold = 4\n", "holds parameters of 'imagefindpars', expected .* 'tweakreg'"),
    ("[metadata]\nnothing = here\n", "holds no parameters of 'tweakreg'"),
    ("SIMPLE  T\n[[[", "bad.cfg: tweakreg: not a parameter file"),
    (None, "bad.cfg can't be read: no such file"),
])
def test_what_is_no_parameter_file(model, tmp_path, text, words):
    if text is not None:
        (tmp_path / "bad.cfg").write_text(text)
    before = model.path
    with pytest.raises(ImageregError, match=words):
        model.load("bad.cfg")
    assert (model.path, model.can_undo) == (before, False)


def test_a_broken_file_of_the_user_is_told_and_not_lost(home):
    (home / ".imagereg").mkdir(parents=True)
    path = home / ".imagereg" / "tweakreg.cfg"
    path.write_text("[[[\n")
    model = Model.open("tweakreg")
    assert model.message.endswith("the defaults are shown") and not model.values["tweakreg"].changed
    with pytest.raises(InputError, match="exists already"):
        model.save()
    assert path.read_text() == "[[[\n"
    model.save(force=True)
    assert Model.open("tweakreg").notes == ()


def test_a_file_that_somebody_else_changed(model, tmp_path):
    path = tmp_path / "mine.cfg"
    model.save_as("mine.cfg")
    path.write_text(path.read_text() + "# theirs\n")
    model.set("nclip", "5")
    with pytest.raises(InputError, match="mine.cfg has changed since it was read"):
        model.save()
    assert path.read_text().endswith("# theirs\n") and model.dirty
    model.save(force=True)
    assert "theirs" not in path.read_text() and not model.dirty
    path.unlink()
    model.save()
    assert path.exists()


def test_another_file_is_not_replaced(model, tmp_path):
    (tmp_path / "image.fits").write_bytes(b"SIMPLE\xff\xfe")
    (tmp_path / "text").write_text("mine")
    for force in (False, True):
        with pytest.raises(InputError, match="image.fits can't be read"):
            model.save_as("image.fits", force=force)
    with pytest.raises(InputError, match="text exists already"):
        model.save_as("text")
    assert (tmp_path / "text").read_text() == "mine" and model.outcome == ""


@pytest.mark.parametrize("path", [ROOT / "pars" / "tweakreg.cfg", ROOT / "lib" / "imagereg" / "new.cfg"])
def test_never_into_the_package(model, path, tmp_path):
    before = path.read_bytes() if path.exists() else None
    (tmp_path / "link.cfg").symlink_to(path)
    for name in (str(path), "link.cfg"):
        with pytest.raises(InputError, match="belongs to imagereg"):
            model.save_as(name, force=True)
    assert (path.read_bytes() if path.exists() else None) == before


def test_a_folder_that_is_not_there(model, tmp_path, home):
    with pytest.raises(InputError, match="can't be written: no such file"):
        model.save_as("nowhere/mine.cfg")
    home.write_text("a file where the home should be")
    with pytest.raises(InputError, match="the folder .*imagereg can't be made"):
        model.save()
    assert model.outcome == "" and model.result is None


def test_a_set_is_read_and_copied_by_itself(model, tmp_path):
    child = model.child("imagefindpars")
    child.set("threshold", "50")
    child.save_as("find.cfg")
    assert model.dirty and child.path == model.path
    model.unlearn(everything=True)
    child.load("find.cfg")
    assert child.row("threshold").text == "50.0" and child.path == model.path
    assert gather_parameters(imagefindcfg="find.cfg")[1].threshold == 50


def test_save_as_moves_what_save_writes(model, tmp_path, home):
    model.set("nclip", "5")
    model.save_as("~/mine.cfg" if home.exists() else "mine.cfg")
    model.set("nclip", "6")
    model.undo()
    model.undo()
    model.save()
    assert model.path == str(tmp_path / "mine.cfg") and not home.exists()
    assert gather_parameters("mine.cfg")[0].nclip == 3


def test_teal_reads_what_the_editor_saves(model, tmp_path, capsys):
    """Strictly where the parameter sets are at their defaults; else it passes over them, as drizzlepac tells it to."""
    teal = pytest.importorskip("stsci.tools.teal")
    (tmp_path / "tweakreg.cfgspc").write_bytes((ROOT / "pars" / "tweakreg.cfgspc").read_bytes())
    model.set("nclip", "5")
    model.save_as("mine.cfg")
    assert teal.load("mine.cfg", strict=True)["CATALOG FITTING PARAMETERS"]["nclip"] == 5
    os.chmod("mine.cfg", 0o644)  # TEAL protects what it has read
    model.child("imagefindpars").set("threshold", "50")
    model.save()
    assert teal.load("mine.cfg", strict=False)["CATALOG FITTING PARAMETERS"]["nclip"] == 5


# ---- running

def test_execute_saves_first(home):
    seen = []
    model = Model.open("tweakreg", run=lambda values: seen.append((values, (home / ".imagereg").exists())) or "done")
    model.set("nclip", "5")
    assert model.run(save=False) == "done" and model.dirty
    assert model.run() == "done" and not model.dirty
    assert [(values["tweakreg"].nclip, exists) for values, exists in seen] == [(5, False), (5, True)]
    assert model.outcome == "executed" and model.result == model.values


def test_execute_that_fails(model):
    with pytest.raises(ImageregError, match="nothing to execute"):
        model.run()

    def run(values):
        raise InputError("no images")

    failing = Model.open("tweakreg", run=run)
    with pytest.raises(InputError, match="no images"):
        failing.run()
    assert failing.outcome == "" and failing.can_run and not model.can_run
