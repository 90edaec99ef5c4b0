"""Parameters: what is accepted, what is refused and in which words, and the texts made from them."""

import copy
import fractions
import inspect
import logging
import pathlib
import pickle

import numpy as np
import pytest

from imagereg.errors import ParameterError
from imagereg.parameters import spec as params
from imagereg.parameters.spec import ParameterSet, Spec, nearest

TWEAKREG = Spec.load("tweakreg")
FIND = Spec.load("imagefindpars")

TOY = Spec.parse("""
_task_name_ = string_kw(default="toy")
name = string_kw(default="a, b", mode="a", comment="A name")
_edit_btn_ = action_kw(default="Edit", executes='_rule1_', pset="toypars", comment="The rest")
mask = string_kw(default="", none="None", comment="A mask")
[MORE THINGS]
switch = boolean_kw(default=no, triggers='_rule1_', triggers='_section_switch_', comment="Do it?")
size = float_or_none_kw(default=None, range="0.5:2", unit="pixel", aliases="width|fwhm", comment="A size")
count = integer_kw(default=3, range=":9", active_if='_rule1_', comment="A count")
colour = option_kw("red", "reddish", "No colour", default="red", comment="A colour")
later = float_kw(default=1, comment="A last thing")
[ _RULES_ ]
_rule1_ = string_kw(default=True, when='init,entry', code='OUT = VAL == "yes"')
""")


class Iraf:
    """Like PyRAF's yes, no and INDEF: not text, but it prints as such."""

    def __init__(self, text):
        self.text = text

    def __str__(self):
        """Return the word."""
        return self.text


# ---- the declaration


def test_parse():
    """Each keyword of a line ends where it belongs."""
    assert TOY.task == "toy"
    assert TOY.names == ("name", "mask", "switch", "size", "count", "colour", "later")
    assert [p.name for p in TOY.layout][:3] == ["name", "_edit_btn_", "mask"]
    assert list(TOY.sections) == ["", "MORE THINGS"]
    assert [p.name for p in TOY.sections[""]] == ["name", "mask"]
    size = TOY["size"]
    assert (size.kind, size.base, size.optional, size.default) == ("float_or_none", "float", True, None)
    assert (size.range, size.unit, size.aliases) == ((0.5, 2.0), "pixel", ("width", "fwhm"))
    assert TOY["count"].range == (None, 9.0)
    assert TOY["colour"].choices == ("red", "reddish", "No colour")
    assert TOY["later"].default == 1.0 and isinstance(TOY["later"].default, float)
    assert not TOY["name"].hidden and TOY["size"].hidden
    assert TOY["switch"].default is False
    assert dict(TOY["switch"].keywords) == {"triggers": ("_rule1_", "_section_switch_")}
    assert dict(TOY["count"].keywords) == {"active_if": "_rule1_"}
    assert dict(dict(TOY.rules)["_rule1_"])["code"] == 'OUT = VAL == "yes"'
    assert TOY.layout[1].pset == "toypars" and TOY.layout[1].default == "Edit"


def test_a_default_must_be_a_value():
    """A declaration that contradicts itself is not loaded."""
    with pytest.raises(ValueError, match="a number >= 1"):
        Spec.parse('_task_name_ = string_kw(default="t")\nx = float_kw(default=0, range="1:", comment="X")')


def test_spec_lookup():
    """A parameter is found by its name and by its aliases."""
    assert "size" in TOY and "fwhm" in TOY and "_edit_btn_" not in TOY and "nothing" not in TOY
    assert TOY["fwhm"] is TOY["size"]
    assert [p.name for p in TOY] == list(TOY.names)
    assert Spec.load("tweakreg") is TWEAKREG


def test_package_has_no_such_file():
    """A missing data file is told by its name."""
    with pytest.raises(FileNotFoundError, match="nothing.cfgspc"):
        params.package_text("pars", "nothing.cfgspc")


# ---- values


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("verbose", True, True),
        ("verbose", np.bool_(True), True),
        ("verbose", "yes", True),
        ("verbose", " Y ", True),
        ("verbose", "no", False),
        ("verbose", "n", False),
        ("verbose", "TRUE", True),
        ("verbose", "f", False),
        ("verbose", Iraf("yes"), True),
        ("verbose", 1, True),
        ("verbose", 0, False),
        ("verbose", np.int64(1), True),
        ("verbose", "0", False),
        ("verbose", None, False),
        ("nclip", 5, 5),
        ("nclip", np.int16(5), 5),
        ("nclip", " 5 ", 5),
        ("searchrad", 2, 2.0),
        ("searchrad", "2.5e0", 2.5),
        ("searchrad", np.float32(0.5), 0.5),
        ("searchrad", fractions.Fraction(1, 2), 0.5),
        ("searchrad", np.array(0.5), 0.5),
        ("sigma", None, None),
        ("sigma", "INDEF", None),
        ("sigma", "indef", None),
        ("sigma", "None", None),
        ("sigma", "", None),
        ("sigma", Iraf("INDEF"), None),
        ("nbright", "INDEF", None),
        ("nbright", 7, 7),
        ("fitgeometry", "rsc", "rscale"),
        ("fitgeometry", "S", "shift"),
        ("residplot", "no", "No plot"),
        ("residplot", "no plot", "No plot"),
        ("residplot", None, "No plot"),
        ("residplot", "None", "No plot"),
        ("group", "none", "none"),
        ("rfluxunits", None, "mag"),
        ("minobj", -1, -1),
        ("input", "a_flt.fits, b%(x)s#c", "a_flt.fits, b%(x)s#c"),
        ("input", pathlib.PurePath("a_flt.fits"), "a_flt.fits"),
        ("xcol", 1, "1"),
        ("catfile", None, ""),
    ],
)
def test_accepted(name, value, expected):
    """Values are taken in Python's spellings, numpy's, IRAF's and those of files."""
    got = TWEAKREG.validate({name: value})[name]
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("verbose", "maybe", "yes or no"),
        ("verbose", "", "yes or no"),
        ("verbose", 2, "yes or no"),
        ("verbose", 1.0, "yes or no"),
        ("nclip", True, "a whole number >= 0"),
        ("nclip", 2.0, "a whole number >= 0"),
        ("nclip", "2.5", "a whole number >= 0"),
        ("nclip", None, "a whole number >= 0"),
        ("nclip", -1, "a whole number >= 0"),
        ("nclip", 10**400, "a whole number >= 0"),
        ("nbright", 0, "a whole number >= 1, or INDEF"),
        ("searchrad", True, "a number >= 0 (searchunits)"),
        ("searchrad", np.bool_(True), "a number >= 0 (searchunits)"),
        ("searchrad", "one", "a number >= 0 (searchunits)"),
        ("searchrad", -0.1, "a number >= 0 (searchunits)"),
        ("searchrad", [1.0], "a number >= 0 (searchunits)"),
        ("searchrad", np.array([1.0]), "a number >= 0 (searchunits)"),
        ("searchrad", float("nan"), "a number >= 0 (searchunits)"),
        ("searchrad", "nan", "a number >= 0 (searchunits)"),
        ("searchrad", float("inf"), "a number >= 0 (searchunits)"),
        ("searchrad", 10**400, "a number >= 0 (searchunits)"),
        ("searchrad", "INDEF", "a number >= 0 (searchunits)"),
        ("maxflux", float("nan"), "a number (fluxunits), or INDEF"),
        ("tolerance", -1, "a number >= 0.001 (pixel)"),
        ("fitgeometry", "affine", "one of 'shift', 'rshift', 'rscale', 'xyscale', 'general', 'auto'"),
        ("fitgeometry", "", "one of 'shift', 'rshift', 'rscale', 'xyscale', 'general', 'auto'"),
        ("input", ["a.fits"], "one line of text"),
        ("input", "a\nb", "one line of text"),
        ("input", 1.5, "one line of text"),
        ("input", True, "one line of text"),
        ("input", "\"\"\"'''", "one line of text"),
    ],
)
def test_refused(name, value, expected):
    """The error names task, parameter, its other name, value, and what is expected, with range and unit."""
    with pytest.raises(ParameterError) as caught:
        TWEAKREG.validate({name: value})
    other = " (fluxmax)" if name == "maxflux" else ""
    whole = f"tweakreg: parameter {name!r}{other} = {value!r}: expected {expected}"
    if len(whole) < 280:
        assert str(caught.value) == whole
    else:
        assert str(caught.value).startswith(whole[:60]) and str(caught.value).endswith(whole[-40:])


def test_range_has_two_ends():
    """A closed interval holds its ends."""
    assert [FIND.validate({"ratio": r}).ratio for r in (0.01, 1)] == [0.01, 1.0]
    for ratio in (0.0, 1.01):
        with pytest.raises(ParameterError, match="expected a number from 0.01 to 1$"):
            FIND.validate({"ratio": ratio})
    with pytest.raises(ParameterError, match="expected a whole number <= 9$"):
        TOY.validate({"count": 10})


def test_ambiguous_choice():
    """An exact choice wins over one that it abbreviates; an abbreviation of two is refused."""
    assert TOY.validate({"colour": "red"}).colour == "red"
    assert TOY.validate({"colour": "redd"}).colour == "reddish"
    with pytest.raises(ParameterError, match="'re': expected one of 'red', 'reddish', 'No colour'"):
        TOY.validate({"colour": "re"})


def test_none_of_a_text():
    """None is empty text, save where the declaration says otherwise: dqbits=None is not dqbits=''."""
    assert TOY.validate({"mask": None}).mask == "None"
    assert FIND.validate({"dqbits": None}).dqbits == "None"
    assert FIND.validate({"dqbits": 4096}).dqbits == "4096"


def test_defaults_may_be_given():
    """In any spelling; that changes nothing."""
    assert TOY.validate({"later": "1"}).changed == ()
    assert TWEAKREG.validate({"refcat": "", "refxcol": 1, "headerlet": "no", "fluxunits": "counts"}).changed == ()


# ---- names


def test_unknown_name():
    """The nearest name is offered, or none."""
    with pytest.raises(ParameterError) as caught:
        TWEAKREG.validate({"serchrad": 1})
    assert str(caught.value) == "tweakreg: unknown parameter 'serchrad'; did you mean 'searchrad'?"
    with pytest.raises(ParameterError) as caught:
        TWEAKREG.validate({"qqqq": 1})
    assert str(caught.value) == "tweakreg: unknown parameter 'qqqq'"
    assert nearest("treshold", [*TWEAKREG.names, *FIND.names]) == "threshold"
    assert nearest("qqqq", FIND.names) is None


@pytest.mark.parametrize(
    ("spec", "alias", "name"),
    [
        (TWEAKREG, "fluxmax", "maxflux"),
        (TWEAKREG, "fluxmin", "minflux"),
        (FIND, "fwhmpsf", "conv_width"),
    ],
)
def test_alias(spec, alias, name, caplog):
    """The spelling of the help text is accepted, and logged once."""
    params._log_alias.cache_clear()
    with caplog.at_level(logging.INFO, logger="imagereg.parameters.spec"):
        assert spec.validate({alias: 2}) == spec.validate({name: 2}) == spec.validate({alias: 2, name: "2.0"})
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [f"{spec.task}: parameter {alias!r} is taken as {name!r}"]
    with pytest.raises(ParameterError, match=f"parameter '{name}' is given as 2.0 and as 3.0"):
        spec.validate({name: 2, alias: 3})


def test_minimum_match():
    """Abbreviations are for command lines: where asked for, and if they mean one parameter."""
    short = {"verb": "yes", "searchr": 2, "fit": "gen"}
    full = TWEAKREG.validate({"verbose": True, "searchrad": 2, "fitgeometry": "general"})
    found = {TWEAKREG.find(name, minimum_match=True).name: value for name, value in short.items()}
    assert TWEAKREG.validate(found) == full
    with pytest.raises(ParameterError, match="unknown parameter 'verb'; did you mean 'verbose'"):
        TWEAKREG.validate(short)
    with pytest.raises(ParameterError, match="'search' is ambiguous: searchrad, searchunits"):
        TWEAKREG.find("search", minimum_match=True)
    with pytest.raises(ParameterError, match="unknown parameter ''"):
        TWEAKREG.find("", minimum_match=True)
    # an alias may be abbreviated too; a full name wins over longer ones
    assert FIND.find("fwhm", minimum_match=True).name == "conv_width"
    assert TWEAKREG.find("fluxma", minimum_match=True).name == "maxflux"
    assert TWEAKREG.find("headerlet", minimum_match=True).name == "headerlet"
    assert FIND.find("peakmax", minimum_match=True).name == "peakmax"


# ---- mappings


def test_sections():
    """A mapping may be flat, sectioned or both, in any mixture; what it lacks is the default."""
    sectioned = {
        "_task_name_": "tweakreg",
        "input": "a.fits",
        "_editipars_btn_": "imagefind Parameters",
        "OBJECT MATCHING PARAMETERS": {"searchrad": "3"},
        "_RULES_": {"_rule1_": ""},
    }
    expected = TWEAKREG.validate({"input": "a.fits", "searchrad": 3})
    assert TWEAKREG.validate(sectioned) == expected
    assert TWEAKREG.validate(expected) == expected
    assert expected.changed == ("input", "searchrad")
    with pytest.raises(ParameterError, match="'searchrad' is given as 3.0 and as 4.0"):
        TWEAKREG.validate({**sectioned, "searchrad": 4})
    with pytest.raises(ParameterError, match="unknown parameter 'serchrad'"):
        TWEAKREG.validate({"OBJECT MATCHING PARAMETERS": {"serchrad": "3"}})


def test_parameters_of_another_task():
    """A file, or a set, of another task is refused as a whole."""
    with pytest.raises(ParameterError, match="^tweakreg: these are parameters of 'astrodrizzle'$"):
        TWEAKREG.validate({"_task_name_": "astrodrizzle"})
    with pytest.raises(ParameterError, match="^refimagefindpars: these are parameters of 'imagefindpars'$"):
        Spec.load("refimagefindpars").validate(FIND.validate())


def test_given_holds_only_what_is_given():
    """What a user gave, checked and by its own name, apart from the defaults."""
    assert TWEAKREG.given({"fluxmax": "3", "nclip": 3}) == {"maxflux": 3.0, "nclip": 3}
    assert TWEAKREG.given() == {}


def test_arguments_are_not_changed():
    """A mapping that is passed in stays as it was."""
    values = {"OBJECT MATCHING PARAMETERS": {"searchrad": "3"}, "fluxmax": "1"}
    before = copy.deepcopy(values)
    TWEAKREG.validate(values)
    assert values == before


# ---- the set


def test_parameter_set():
    """It is a mapping with attributes, in order, that does not change."""
    p = FIND.validate({"threshold": 200})
    assert p.threshold == p["threshold"] == 200.0
    assert list(p) == list(FIND.names) and len(p) == 21
    assert dict(p)["conv_width"] == 3.5
    assert "threshold" in p and "threshold" in dir(p)
    assert (p.task, p.changed) == ("imagefindpars", ("threshold",))
    with pytest.raises(AttributeError):
        p.threshold = 3
    with pytest.raises(TypeError):
        p["threshold"] = 3
    with pytest.raises(KeyError):
        p["nothing"]
    with pytest.raises(AttributeError, match="nothing"):
        _ = p.nothing


def test_replace():
    """A change makes a new set; names may be aliases."""
    p = FIND.validate({"threshold": 200})
    q = p.replace(fwhmpsf=2, threshold="INDEF")
    assert (q.conv_width, q.threshold) == (2.0, None)
    assert (p.conv_width, p.threshold) == (3.5, 200.0)
    with pytest.raises(ParameterError):
        p.replace(conv_width=0)


def test_equality():
    """Sets are equal when task and values are."""
    assert FIND.validate({"threshold": 5}) == FIND.validate({"threshold": "5."})
    assert FIND.validate() != FIND.validate({"threshold": 5})
    assert FIND.validate() != Spec.load("refimagefindpars").validate()
    assert FIND.validate() != dict(FIND.validate())
    assert len({FIND.validate(), FIND.validate(), FIND.validate({"threshold": 5})}) == 2


@pytest.mark.parametrize("values", [{}, {"threshold": 0.1 + 0.2, "dqbits": 'it\'s # "%s"', "peakmax": None}])
def test_repr_and_pickle(values):
    """What is printed makes it again, and so does what is sent to another process."""
    p = FIND.validate(values)
    assert eval(repr(p), {"ParameterSet": ParameterSet}) == p
    assert pickle.loads(pickle.dumps(p)) == p
    assert copy.deepcopy(p) == copy.copy(p) == p


# ---- texts


def test_read_cfg_of_drizzlepac():
    """Comments glued to the value, as TEAL writes them; quotes; commas; % and empty values."""
    text = (
        "_task_name_ = tweakreg# \r\n"
        "input = j*_flt.fits# Input files (name, suffix, or @list)\r\n"
        'runfile = "a b.log"# Filename\r\n'
        "refimage = # none\n"
        "exclusions =\n"
        "[UPDATE HEADER]\n"
        "wcsname = 50%(x)s, 'y'\n"
        "[ _RULES_ ]\n"
    )
    mapping = TWEAKREG.read_cfg("\ufeff" + text)
    assert mapping == {
        "_task_name_": "tweakreg",
        "input": "j*_flt.fits",
        "runfile": "a b.log",
        "refimage": "",
        "exclusions": "",
        "UPDATE HEADER": {"wcsname": "50%(x)s, 'y'"},
        "_RULES_": {},
    }
    assert TWEAKREG.validate(mapping).changed == ("input", "runfile", "wcsname")


@pytest.mark.parametrize("text", ["nonsense", "[open\n", 'a = "b', "a = 1\na = 2", "a = '''b\nc", "[[[x]]]"])
def test_read_cfg_refuses(text):
    """What is not a parameter file is said to be none."""
    with pytest.raises(ParameterError, match="^tweakreg: not a parameter file: "):
        TWEAKREG.read_cfg(text)


def test_cfg_text():
    """Values, headings and comments, to be read by people and by TEAL."""
    assert TOY.cfg_text({"name": "x", "size": 1, "mask": "a#b"}) == (
        "_task_name_ = toy\n"
        "name = x  # A name\n"
        'mask = "a#b"  # A mask\n'
        "\n[MORE THINGS]\n"
        "switch = False  # Do it?\n"
        "size = 1.0  # A size (pixel)\n"
        "count = 3  # A count\n"
        "colour = red  # A colour\n"
        "later = 1.0  # A last thing\n"
        "\n[_RULES_]\n"
    )


def test_par_text():
    """The fields come out as IRAF's CL writes them."""
    assert TOY.par_text({"mask": 'a "b"'}) == (
        'name,s,a,"a, b",,,"A name"\n'
        'toypars,pset,h,"",,,"The rest"\n'
        'mask,s,h,\'a "b"\',,,"A mask"\n'
        'switch,b,h,no,,,"Do it?"\n'
        'size,r,h,INDEF,0.5,2.0,"A size (pixel)"\n'
        'count,i,h,3,,9,"A count"\n'
        'colour,s,h,"red","|red|reddish|No colour|",,"A colour"\n'
        'later,r,h,1.0,,,"A last thing"\n'
        'status,i,h,INDEF,0,1,"How the last run ended: 0 all aligned, 1 not all"\n'
        'mode,s,h,"ql"\n'
    )
    with pytest.raises(ParameterError, match="toy: .* holds both kinds of quotes"):
        TOY.par_text({"mask": "a\"b'c"})


def test_doc_table():
    """Type, choices, default, comment, range and unit, as numpydoc has them."""
    lines = TOY.doc_table().splitlines()
    assert lines[0:2] == ["name : str, default 'a, b'", "    A name."]
    assert "size : float or None, default None" in lines
    assert "    A size. A number from 0.5 to 2 (pixel), or INDEF. Also written width, fwhm." in lines
    assert "colour : {'red', 'reddish', 'No colour'}, default 'red'" in lines
    assert lines[-1] == "    A last thing. A number."


def test_help_lines():
    """The same in IRAF's spelling; a button stands under the name of its parameter set."""
    lines = {p.name: p.help_lines() for p in TOY.layout}
    assert lines["name"] == ['  name = "a, b"', "      A name. One line of text."]
    assert lines["switch"] == ["  switch = no", "      Do it? Yes or no."]
    assert lines["_edit_btn_"] == ['  toypars = "Edit"', "      The rest. A button that opens these parameters."]
    assert lines["later"][1] == "      A last thing. A number."
    assert all(len(line) <= 80 for p in TWEAKREG for line in p.help_lines())


def test_signature():
    """Python's own help shows names, types and defaults."""
    first = inspect.Parameter("files", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    signature = TOY.signature(first, exclude={"name", "mask", "later"})
    assert list(signature.parameters) == ["files", "switch", "size", "count", "colour"]
    assert signature.parameters["size"].annotation == float | None
    assert signature.parameters["count"].default == 3
    assert signature.parameters["count"].kind is inspect.Parameter.KEYWORD_ONLY
