"""The editor in a terminal: lines, keys, the screen, what keys do; with prompt_toolkit's keyboard, no terminal."""

import asyncio
import pathlib
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from imagereg.errors import InputError
from imagereg.interfaces.epar import faces, terminal
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.terminal import keys, screen
from imagereg.interfaces.epar.terminal.line_editor import ACTIONS, LineEditor
from imagereg.interfaces.epar.terminal.session import Session


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Set a home of its own, and no editor."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("editor", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def session():
    """Tweakreg with the defaults, which can be run."""
    return Session(Model.open("tweakreg", run=lambda values: None))


def press(session, *pressed):
    """Press keys: a name of an action in <>, else text that is typed; returns the message."""
    for one in pressed:
        if one.startswith("<"):
            session.press(one.strip("<>"))
        else:
            for character in one:
                session.press("type", character)
    return session.model.message


def drawn(session, width=80, height=24):
    """Return the lines of the screen as text."""
    return ["".join(text for _, text in line) for line in screen.draw(session, width, height)[0]]


def line_of(session, name, width=80, height=24):
    """Return the line of a row."""
    return next(line for line in drawn(session, width, height) if line.lstrip("(").startswith(name))


def at(session, name):
    """Go to a row."""
    press(session, "<find>", name, "<return>")
    assert session.name == name


# ---- lines and keys

@pytest.mark.parametrize(("line", "actions", "result"), [
    (LineEditor("old"), ["n", "e"], "ne|"),
    (LineEditor("old"), ["move_right", "x"], "ox|ld"),
    (LineEditor("old"), ["move_eol", "x"], "oldx|"),
    (LineEditor("old"), ["del_left"], "ol|"),
    (LineEditor("old"), ["del_char", "move_right", "del_left"], "|d"),
    (LineEditor("a.fits,b.fits c"), ["next_word", "next_word", "next_word", "prev_word"], "a.fits,b.fits |c"),
    (LineEditor("a.fits,b.fits"), ["del_word", "move_eol", "undel_word"], "b.fitsa.fits,|"),
    (LineEditor("abc"), ["del_line", "x", "undel_line"], "xabc|"),
    (LineEditor("abc"), ["move_eol", "del_char", "undel_char"], "abc|"),
    (LineEditor(""), ["del_left", "move_left", "next_word", "prev_word"], "|"),
])
def test_editing(line, actions, result):
    for action in actions:
        line = getattr(line, action)() if len(action) > 1 else line.type(action)
    assert f"{line.text[:line.cursor]}|{line.text[line.cursor:]}" == result


def test_tables_are_irafs():
    """Facts of dev$vi.ed and dev$emacs.ed."""
    vi, emacs = keys.TABLES["vi"], keys.TABLES["emacs"]
    assert (vi["next_page"][0], vi["move_down"][0], vi["undel_line"]) == ("c-n", "c-j", ("c-u c-l",))
    assert (emacs["next_page"][0], emacs["move_down"][0], emacs["del_line"]) == ("c-v", "c-n", ("c-k",))
    for table in (vi, emacs):
        assert (table["exit_update"], table["exit_noupdate"]) == (("c-d", "c-z"), ("c-c",))
        pressed = [names for several in table.values() for names in several]
        assert len(pressed) == len(set(pressed))
        for action in table:
            assert action in ACTIONS or hasattr(Session, f"_{action}")


@pytest.mark.parametrize(("command", "table"), [
    ("vi", "vi"), ("/usr/bin/emacs -nw", "emacs"), ("emacsclient", "emacs"), ("nano", "vi"), ("XEmacs", "emacs"),
])
def test_which_table(command, table):
    assert keys.table_for(command) == table


@pytest.mark.parametrize("table", keys.TABLES)
def test_page_on_the_keys(table):
    lines = keys.page(table).splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) == 46  # two screens
    assert lines[0].strip() == f"EDIT COMMANDS ({table})"
    for action in keys.TABLES[table]:
        assert any(action.upper() in line for line in lines)


def test_two_keys_in_a_row():
    reader = keys.Reader("vi")
    assert reader.read("escape") is None and reader.pending == "escape"
    assert reader.read("?", "?") == ("get_help", "") and not reader.pending
    assert reader.read("c-u") is None and reader.read("c-c") == ("undel_char", "")
    assert reader.read("c-u") is None and reader.read("x", "x") is None
    assert reader.read("x", "x") == ("type", "x") and reader.read("f5") is None
    assert reader.read("escape", alone=True) == ("cancel", "")


# ---- the screen

def test_the_screen_of_iraf(session):
    lines = drawn(session)
    assert len(lines) == 24 and max(map(len, lines)) < 80
    assert lines[0].startswith("PACKAGE = imagereg") and lines[0].endswith("~/.imagereg/tweakreg.cfg")
    assert lines[1:3] == ["   TASK = tweakreg", ""]
    assert lines[3].startswith("input              =        *flt.fits  Images: names")
    assert lines[4].startswith("(imagefindpars     =       :e to open) Source finding in the images")
    assert "UPDATE HEADER " + "-" * 65 in lines
    assert lines[22].startswith("More  Images: names, wildcards, association, @file.")
    assert lines[23].endswith("ESC-? for HELP")
    press(session, "<next_page>")
    assert drawn(session)[2] == "More"
    press(session, "<move_end>")
    assert not drawn(session)[22].startswith("More") and session.name == "onlybetter"


def test_marks(session):
    assert line_of(session, "enforce_user_order").startswith("(enforce_user_order-              yes) ")
    at(session, "expand_refcat")
    press(session, "yes", "<move_down>")
    assert line_of(session, "enforce_user_order").startswith("(enforce_user_order=              yes) ")
    assert line_of(session, "expand_refcat").startswith("(expand_refcat     =              yes)*Add")
    assert drawn(session)[0].endswith("(not saved)")
    styles = {text: style for line in screen.draw(session, 80, 24)[0] for style, text in line}
    assert next(style for text, style in styles.items() if text.startswith("(wcsname")) == "dim"
    assert next(style for text, style in styles.items() if text.startswith("(expand_refcat")) == "bold ansimagenta"
    press(session, "<prev_page>")
    at(session, "wcsname")
    assert "Not used while updatehdr = no. Name of the new WCS." in " ".join(" ".join(drawn(session)[22:]).split())


def test_long_values(session):
    text = "".join(f"image{i}.fits," for i in range(20))
    press(session, text)
    assert line_of(session, "input").endswith(f"{text[-57:]} ")
    lines, cursor = screen.draw(session, 80, 24)
    assert cursor == (78, 3)
    press(session, "<move_bol>")
    assert line_of(session, "input").endswith(text[:58]) and screen.draw(session, 80, 24)[1] == (21, 3)
    press(session, "<return>")
    assert line_of(session, "input").startswith("input              = image0.fits,ima> *Images")


def test_wide_screens_show_more(session):
    assert line_of(session, "exclusions", 120).endswith(") File that lists the region files of each image")
    assert drawn(session, 120, 60)[58].startswith("More") and not drawn(session, 120, 90)[88].startswith("More")


@pytest.mark.parametrize("height", [8, 24, 25, 40])
def test_pages_hold_every_row_once(session, height):
    rows, found = session.model.rows, screen.pages(session.model.rows, height)
    assert [entry for page in found for entry in page if not isinstance(entry, str)] == list(rows)
    assert all(len(page) <= height - 5 and not isinstance(page[-1], str) for page in found)


def test_long_messages_hide_no_row_that_is_edited(session):
    press(session, "<move_end>")
    session.model.message = "word " * 60
    lines = drawn(session, 80, 24)
    assert sum(line.startswith("word") for line in lines[:-1]) == 3 and any("(onlybetter" in line for line in lines)


# ---- what keys do

def test_typing(session):
    assert press(session, "a.fits", "<return>") == "input = a.fits" and session.name == "imagefindpars"
    press(session, "<move_up>", "<del_left>", "<return>")
    assert session.model.row("input").text == "a.fit"
    press(session, "<move_up>", "x", "<cancel>", "<return>")
    assert session.model.row("input").text == "a.fit"


def test_out_of_range_in_irafs_words(session):
    at(session, "maxchance")
    assert press(session, "7", "<return>") == "Parameter value is out of range  (minimum=0.: maximum=1.)"
    assert session.name == "maxchance" and session.alarm
    assert drawn(session)[23].startswith("Parameter value is out of range  (minimum=0.: maximum=1.)")
    assert "= 7 " in line_of(session, "maxchance")
    press(session, "<exit_update>")
    assert not session.end and not pathlib.Path(session.model.path).exists()
    press(session, "0.5", "<return>")
    assert session.model.row("maxchance").text == "0.5" and not session.alarm


def test_choices(session):
    at(session, "searchunits")
    press(session, " ")
    assert session.model.row("searchunits").text == "pixels" and session.name == "searchunits"
    press(session, " ")
    assert session.model.row("searchunits").text == "arcseconds"
    press(session, "<complete>")
    assert session.candidates == ("arcseconds", "pixels") and "arcseconds  pixels" in drawn(session)
    press(session, "p", "<complete>")
    assert session.editor.text == "pixels" and not session.candidates
    at(session, "verbose")
    press(session, " ", "<move_down>")
    assert session.model.row("verbose").text == "yes"
    at(session, "fitgeometry")
    press(session, "r", "<complete>")
    assert session.editor.text == "rs"
    press(session, "<complete>")
    assert session.candidates == ("rshift", "rscale")


def test_names_of_files(session, home):
    for name in ("im_a.fits", "im_b.fits", "list"):
        (home / name).write_text("")
    press(session, "<complete>")
    assert session.candidates == ("im_a.fits", "im_b.fits", "list") and session.editor.text == "*flt.fits"
    press(session, "i", "<complete>")
    assert session.editor.text == "im_" and not session.candidates
    press(session, "<complete>")
    assert session.candidates == ("im_a.fits", "im_b.fits")
    press(session, "a", "<complete>", ",@l", "<complete>")
    assert session.editor.text == "im_a.fits,@list"
    assert press(session, "zz", "<complete>") == "nothing to complete it with"


def test_absolute_names(session, home):
    """At a row of files /a/ is no text to look for."""
    (home / "im_a.fits").write_text("")
    press(session, f"{home}/im", "<complete>")
    assert session.prompt is None and session.editor.text == f"{home}/im_a.fits"
    press(session, "<return>")
    assert session.model.row("input").text == f"{home}/im_a.fits"


def test_search(session):
    press(session, "/NCLIP", "<return>")
    assert session.name == "nclip"
    press(session, "<move_start>", "/unit", "<return>")
    first = session.name
    press(session, "/", "<return>")
    assert session.name != first and "unit" in session.name
    assert press(session, "/no such thing", "<return>") == "no row holds `no such thing'"
    press(session, ":/nclip", "<return>")
    assert session.name == "nclip"
    press(session, "/ab", "<del_left>", "<del_left>", "<del_left>")
    assert session.prompt is None and session.name == "nclip"


def test_undo(session):
    press(session, "a.fits", "<undo>")
    assert session.editor.text == "*flt.fits"
    press(session, "a.fits", "<return>", "<undo>")
    assert session.model.row("input").text == "*flt.fits"
    press(session, ":redo", "<return>")
    assert session.model.row("input").text == "a.fits"
    assert press(session, "<redo>") == "nothing to redo"
    press(session, "<move_up>", ":unset", "<return>")
    assert session.model.row("input").text == session.editor.text == "*flt.fits"
    press(session, "b", "<return>", ":unlearn", "<return>")
    assert session.model.row("input").text == "*flt.fits"


def test_parameter_sets(session):
    assert press(session, ":e", "<return>") == "parameter `input' is not a pset parameter"
    press(session, "<move_down>", ":e", "<return>")
    assert drawn(session)[1] == "   TASK = imagefindpars of tweakreg"
    at(session, "threshold")
    press(session, "50", "<exit_update>")
    assert session.model.parent is None and session.name == "imagefindpars" and not session.end
    assert line_of(session, "imagefindpars").startswith("(imagefindpars     =       :e to open)*")
    press(session, ":e refimagefindpars", "<return>")
    at(session, "threshold")
    press(session, "60", "<return>", ":e imagefindpars", "<return>")
    assert session.model.title == "imagefindpars of tweakreg" and session.model.row("threshold").text == "50.0"
    press(session, ":unlearn", "<return>", ":q!", "<return>")
    values = session.model.values
    assert (values["imagefindpars"].threshold, values["refimagefindpars"].threshold) == (50, 60)
    assert session.name == "imagefindpars"
    assert press(session, "x") == "`imagefindpars' is a parameter set: TAB or :e opens it"


def test_a_set_opened_by_tab(session):
    press(session, "<move_down>", "<complete>")
    assert session.model.task == "imagefindpars"
    press(session, "<exit_noupdate>")
    assert session.end == "leave" and session.model.result is None


def test_files(session, home):
    press(session, "a.fits", "<return>")
    assert press(session, ":w my.cfg", "<return>") == f"saved in {home}/my.cfg"
    (home / "other.cfg").write_text("_task_name_ = tweakreg\ninput = b.fits\nnclip = 99.5\n")
    assert "exists already" in press(session, ":w other.cfg", "<return>")
    press(session, ":r other.cfg", "<return>")
    assert session.model.row("input").text == "b.fits"
    press(session, ":notes", "<return>")
    assert any("nclip" in line for line in drawn(session)) and max(map(len, session.page.lines)) < 80
    press(session, "q", "<move_up>", "c.fits", "<return>", ":r!", "<return>")
    assert session.model.row("input").text == "b.fits"
    assert press(session, ":r", "<return>") == "no file is named; :r! goes back to what was saved"
    assert press(session, ":r nosuch", "<return>").endswith("can't be read: no such file or directory")
    press(session, ":w! my.cfg", "<return>")
    assert "input = b.fits" in (home / "my.cfg").read_text()
    press(session, ":e other.cfg", "<return>", ":q", "<return>")
    assert session.end == "leave" and session.model.outcome == "saved"


@pytest.mark.parametrize(("command", "end", "saved"), [
    (":g", "run", True), (":go", "run", True), (":g!", "run!", False), (":q", "leave", True), (":q!", "leave", False),
    ("<exit_update>", "leave", True), ("<exit_noupdate>", "leave", False),
])
def test_leaving(session, home, command, end, saved):
    press(session, "a.fits", "<return>", command, "<return>")
    assert session.end == end and (home / ".imagereg" / "tweakreg.cfg").exists() == saved


def test_what_was_typed_is_kept_at_once(session, home):
    press(session, "a.fits", "<exit_update>")
    assert "input = a.fits" in (home / ".imagereg" / "tweakreg.cfg").read_text()


def test_nothing_to_run():
    session = Session(Model.open("imagefindpars"))
    assert press(session, ":g", "<return>") == "there is nothing to run: imagefindpars is only edited here"
    assert not session.end
    assert press(session, ":r!", "<return>").endswith("no such file or directory")


def test_unknown_commands(session):
    assert press(session, ":xyz", "<return>") == "there is no command :xyz; ESC-? lists them"
    assert press(session, ":!", "<return>") == "there is no command :; ESC-? lists them"
    assert press(session, ":", "<return>") == "" and session.prompt is None


def test_help(session):
    at(session, "nclip")
    press(session, "?")
    lines = drawn(session)
    assert lines[0] == "nclip = 3" and lines[-1] == "[hit any key to continue]"
    press(session, "x", ":help", "<return>")
    assert drawn(session)[0] == "NAME" and drawn(session)[-1].startswith("[SPACE: more")
    press(session, " ", "b", "<move_down>", "<move_up>")
    assert drawn(session)[0] == "NAME"
    press(session, "q", ":help sigma", "<return>")
    assert drawn(session)[0].startswith("sigma")
    press(session, "q", "<get_help>")
    assert drawn(session)[0].strip() == "EDIT COMMANDS (vi)"
    press(session, "<exit_noupdate>")
    assert session.page is None and not session.end


PRESSED = st.sampled_from([action for action in keys.TABLES["emacs"]] + [*" y7:/?aeq!wx.,", "edit", ":e\r", "no\r"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(PRESSED, max_size=40), st.integers(40, 130), st.integers(6, 50))
def test_any_keys_leave_a_screen(actions, width, height):
    """Nothing but what IRAF's words can say, and the screen is always as large as the terminal."""
    session = Session(Model.open("tweakreg"), height=height)
    for action in actions:
        if action in keys.TABLES["emacs"]:
            session.press(action)
        else:
            press(session, *("<return>" if one == "\r" else one for one in action))
        if session.end:
            break
        lines, (x, y) = screen.draw(session, width, height)
        assert len(lines) == height and 0 <= y < height and 0 <= x < width
        assert all(sum(len(text) for _, text in line) <= width for line in lines)


# ---- with a keyboard

def typed(text, **more):
    """Edit tweakreg with what is typed; returns what `edit` does."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(text)
        model = Model.open("tweakreg", **more)
        terminal.edit(model)
        return model


@pytest.mark.parametrize(("editor_name", "text", "value"), [
    ("vi", "abc\x05d\x08\x7fX\r\x04", "abXd"),
    ("vi", "abc\x01\x06\r\x1a", "bc"),
    ("emacs", "abc\x01\x04", "abc"),
    ("emacs", "abc def\x1bb\x0b\x19z\r\x04", "z"),
    ("emacs", "abc def\x1bb\x1bdz\x08\x7f\r\x04", "abc"),
    ("vi", "\x1b[200~one,\ntwo\x1b[201~\r\x04", "one, two"),
    ("vi", "\x1b[200~ \x1b[201~\r\x04", "*flt.fits"),
    ("vi", "abc\x1b[D\x1b[Dx\r\x04", "axbc"),
    ("vi", "abc\x1b\x1bx\r\x04\x04", "x"),
    ("vi", "\t\x17\x15\x17Q\r\x04", "*flt.fitsQ"),
])
def test_keyboard(monkeypatch, editor_name, text, value):
    monkeypatch.setenv("EDITOR", editor_name)
    model = typed(text)
    assert model.result["tweakreg"].input == value


def test_the_screen_closes_before_the_task_runs(monkeypatch, home):
    seen = []
    model = typed("a.fits\r:g\r", run=lambda values: seen.append(values["tweakreg"].input))
    assert seen == ["a.fits"] and model.outcome == "executed" and (home / ".imagereg" / "tweakreg.cfg").exists()


def test_interrupt_leaves(home):
    assert typed("a.fits\r\x03").result is None and not (home / ".imagereg").exists()


def test_where_an_event_loop_runs():
    async def edit():
        return typed("a.fits\r\x04")

    assert asyncio.run(edit()).result["tweakreg"].input == "a.fits"


def test_without_prompt_toolkit(monkeypatch):
    monkeypatch.setitem(sys.modules, "prompt_toolkit.application", None)
    monkeypatch.setattr(faces, "_choose", lambda face: "terminal")
    with pytest.raises(InputError, match="^the editor needs prompt_toolkit in a terminal"):
        faces.edit("tweakreg")


# ---- everything is found

def test_search_opens_the_set(session):
    press(session, "/threshold", "<return>")
    assert session.model.title == "imagefindpars of tweakreg" and session.name == "threshold"
    press(session, "/", "<return>")
    assert session.model.title == "refimagefindpars of tweakreg" and session.name == "threshold"
    press(session, "/searchrad", "<return>")
    assert session.model.title == "tweakreg" and session.name == "searchrad"


def test_what_was_typed_in_a_set_is_kept_by_a_search(session):
    press(session, "/threshold", "<return>", "77", "<find>", "nclip", "<return>")
    assert session.model.title == "tweakreg" and session.model.values["imagefindpars"].threshold == 77


def test_the_most_used(session):
    press(session, ":most", "<return>")
    lines = drawn(session)
    assert sum("= " in line for line in lines[2:-2]) == 5 and session.name == "input"
    assert lines[1] == "   TASK = tweakreg   the most used parameters (:most shows all)"
    press(session, "<move_down>", "12", "<return>")
    assert session.model.values["imagefindpars"].threshold == 12 and session.name == "searchrad"
    press(session, "/nclip", "<return>")
    assert session.name == "nclip" and not session.model.most_used
    press(session, ":most", "<return>", ":most", "<return>")
    assert len(session.model.rows) == len(session.model.spec.layout)


@pytest.mark.parametrize(("typed", "completed", "candidates"), [
    (":unl", ":unlearn", ()),
    (":un", ":un", ("undo", "unset", "unlearn")),
    (":help imagefindpars.thr", ":help imagefindpars.threshold", ()),
    ("/thres", "/threshold", ()),
    (":r my", ":r my.cfg", ()),
])
def test_completion_in_the_bottom_line(session, home, typed, completed, candidates):
    (home / "my.cfg").touch()
    press(session, typed, "<complete>")
    assert session.prompt.kind + session.prompt.editor.text == completed
    assert session.candidates == candidates
