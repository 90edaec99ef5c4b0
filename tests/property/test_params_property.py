"""Properties of parameters: what is saved is what is read, and nothing but a ParameterError comes out."""

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagereg.errors import ParameterError
from imagereg.parameters.declaration import unquoted
from imagereg.parameters.spec import Parameter, ParameterSet, Spec, nearest

SPECS = [Spec.load(task) for task in ("tweakreg", "imagefindpars", "refimagefindpars")]

awkward = st.text(st.sampled_from("ab%()s\"'#,;=[]{}\\$`~ \t\x0b\x1c\x85\u2028\u00e9"), max_size=12)
one_line = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20)
texts = st.one_of(awkward, one_line).filter(lambda text: not ('"""' in text and "'''" in text))


def valid_values(parameter):
    """Return a strategy for the values that a parameter may hold."""
    low, high = parameter.range
    values = {
        "string": texts,
        "option": st.sampled_from(parameter.choices or ("",)),
        "boolean": st.booleans(),
        "integer": st.integers(None if low is None else int(low), None if high is None else int(high)).filter(
            lambda n: abs(n) < 10**300
        ),
        "float": st.floats(low, high, allow_nan=False, allow_infinity=False),
    }[parameter.base]
    return st.none() | values if parameter.optional else values


@st.composite
def parameter_sets(draw):
    """Draw the values of a run, some of them the defaults."""
    spec = draw(st.sampled_from(SPECS))
    return spec.validate(draw(st.fixed_dictionaries({}, optional={p.name: valid_values(p) for p in spec})))


@given(parameter_sets())
def test_cfg_round_trip(values):
    """Saving and reading gives the same values, whatever a text holds."""
    spec = values.spec
    assert spec.validate(spec.read_cfg(spec.cfg_text(values))) == values


@given(parameter_sets())
def test_native_and_text_values_agree(values):
    """Values as text, sectioned or flat, mean what the native ones mean."""
    as_text = {name: value if isinstance(value, str) else str(value) for name, value in values.items()}
    assert values.spec.validate(as_text) == values
    sections = {p.section or "top": {} for p in values.spec}
    for p in values.spec:
        sections[p.section or "top"][p.name] = values[p.name]
    assert values.spec.validate(sections) == values


@given(parameter_sets())
def test_repr_makes_it_again(values):
    """What is printed evaluates to the set, and lists what was changed."""
    assert eval(repr(values), {"ParameterSet": ParameterSet}) == values
    assert set(values.changed) == {p.name for p in values.spec if values[p.name] != p.default}


@given(texts)
def test_any_text_survives_a_file(text):
    """Text with quotes, commas, #, % and blanks at its ends is the same after a round trip."""
    spec = SPECS[0]
    assert spec.validate(spec.read_cfg(spec.cfg_text({"input": text}))).input == text


@given(texts)
def test_quotes_come_off_once(text):
    """Quotes are taken off where they were put."""
    assert unquoted(f'"{text}"') == unquoted(f"'{text}'") == text


@given(st.one_of(st.text(), awkward, st.text(st.sampled_from("ab=\"'#[] \n"), max_size=40)))
def test_read_cfg_raises_parameter_errors_only(text):
    """Any text is a mapping of texts or is refused."""
    with contextlib.suppress(ParameterError):
        assert isinstance(SPECS[0].read_cfg(text), dict)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary(),
    st.lists(st.floats(), max_size=2), st.dictionaries(st.text(max_size=2), st.integers(), max_size=1),
)  # fmt: skip


@given(st.sampled_from([p for spec in SPECS for p in spec]), anything)
def test_any_value_converts_or_is_refused(parameter, value):
    """A converted value has the declared type, lies in range, and converts to itself."""
    try:
        converted = parameter.convert(value)
    except ValueError as error:
        assert str(error) == parameter.expected
        return
    assert isinstance(converted, parameter.python_type)
    if parameter.base in ("integer", "float") and converted is not None:
        low, high = parameter.range
        assert (low is None or converted >= low) and (high is None or converted <= high)
    assert parameter.convert(converted) == converted


@given(
    st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(allow_nan=True), st.booleans(), st.booleans()
)  # fmt: skip
def test_range(low, width, value, open_low, open_high):
    """Within the closed interval, and nowhere else, is a number accepted; NaN never."""
    high = low + width
    ends = (None if open_low else low, None if open_high else high)
    parameter = Parameter("x", "", "float", low, range=ends)
    inside = abs(value) < float("inf") and (open_low or value >= low) and (open_high or value <= high)
    if inside:
        assert parameter.convert(value) == value
    else:
        with pytest.raises(ValueError, match="^" + re.escape(parameter.expected) + "$"):
            parameter.convert(value)


@given(st.sampled_from(SPECS), st.data())
def test_a_letter_left_out_is_found(spec, data):
    """A name of some length that lost one letter leads back to a name that has all its other letters."""
    name = data.draw(st.sampled_from([n for n in spec.names if len(n) >= 5]))
    place = data.draw(st.integers(0, len(name) - 1))
    typed = name[:place] + name[place + 1 :]
    likely = nearest(typed, spec.names)
    assert likely == name or abs(len(likely) - len(typed)) <= 1
    if typed not in spec:
        with pytest.raises(ParameterError, match=f"unknown parameter '{typed}'; did you mean "):
            spec.validate({typed: 1})


@given(st.sampled_from(SPECS), st.data())
def test_abbreviations(spec, data):
    """A beginning of a name finds it, or is ambiguous; the whole name always finds it."""
    name = data.draw(st.sampled_from(spec.names))
    begin = name[: data.draw(st.integers(1, len(name)))]
    meant = {p.name for p in spec for spelling in (p.name, *p.aliases) if spelling.startswith(begin)}
    assert spec.find(name, minimum_match=True).name == name
    if begin in spec or len(meant) == 1:
        assert spec.find(begin, minimum_match=True).name in meant
    else:
        with pytest.raises(ParameterError, match="is ambiguous"):
            spec.find(begin, minimum_match=True)
