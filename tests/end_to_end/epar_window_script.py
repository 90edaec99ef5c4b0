"""Use windows of the editor by key events; test_epar_window.py runs it, since an X error ends a process.

``python epar_window_script.py CASE``: a case is one of the functions below. It is given a window that is open.
"""

import faulthandler
import logging
import sys
import textwrap
import time
import tkinter
from tkinter import filedialog, messagebox
from types import SimpleNamespace

from imagereg.errors import InputError
from imagereg.interfaces.epar.model import Model
from imagereg.interfaces.epar.rows import MOST_USED
from imagereg.interfaces.epar.window import editor as module
from imagereg.interfaces.epar.window import look
from imagereg.tasks.feedback.progress import progress

KEYSYMS = {".": "period", ",": "comma", "-": "minus", "*": "asterisk", "_": "underscore", "/": "slash", " ": "space"}
PATIENCE = 20  # seconds


class Window(module.EditorWindow):
    """The editor's window, with hands."""

    def take_keyboard(self):
        """Do what a window manager does for a window that is clicked."""
        self.top.update()
        self.current.control.focus_force()
        self.top.update()

    def press(self, *names):
        """Press keys, in the widget that has the keyboard."""
        for name in names:
            self.top.update()
            focus = self.top.focus_get() or self.top
            focus.event_generate(f"<{name}>")
            self.top.update()

    def type(self, text):
        """Type a text."""
        self.press(*(f"Key-{KEYSYMS.get(letter, letter)}" for letter in text))

    def go(self, name):
        """Give the keyboard to a row."""
        self.form.widgets[name].focus()
        self.top.update()

    def until(self, true):
        """Wait."""
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, "nothing has happened"
            self.top.update()
            time.sleep(0.01)

    @property
    def status(self):
        """Text of the status line."""
        return str(self._status.cget("text"))

    def value(self, name):
        """Value of a row in the model."""
        return self.model.row(name).value

    def look(self, name):
        """Text and colour of the name of a row, and the style of its field."""
        widget = self.form.widgets[name]
        label = widget._name
        return str(label.cget("text")), str(label.cget("foreground")), str(widget.control.cget("style"))


def drive(case, **options):
    """Open a window and let a case use it; returns the model."""
    def wait(root, top):
        window = next(w for w in opened if w.top is top)
        window.take_keyboard()
        case(window)

    opened, tkinter.Tk.wait_window = [], wait
    module.EditorWindow = type("Seen", (Window,), {"__init__": lambda self, *arguments: (
        opened.append(self), Window.__init__(self, *arguments))[0] and None})
    model = Model.open("tweakreg", **options)
    module.edit(model)
    return model


def values_are_typed(window):
    window.type("a.fits,b_1.fits")
    window.press("Tab", "Tab")
    assert window.value("input") == "a.fits,b_1.fits" and window.top.title().startswith("* tweakreg - ")
    assert window.look("input")[0] == "•*input" and window.look("refimagefindpars")[1] != ""
    window.type("r.fits")
    window.press("Return")
    assert window.current.row.name == "expand_refcat" and window.look("refimagefindpars")[1] == ""
    window.press("Up", "Control-BackSpace")
    assert window.value("refimage") == "" and window.current.row.name == "refimage"
    window.press("Control-z")
    assert window.value("refimage") == "r.fits" and window.current.typed == "r.fits"
    window.press("Control-y", "Control-End")
    assert window.value("refimage") == "" and window.current.row.name == "onlybetter"
    window.go("sigma")
    window.type("2,5")
    window.press("Up")
    assert window.current.row.name == "sigma" and window.look("sigma")[2] == "Bad.TEntry"
    assert window.status == "sigma: Parameter value is not a number, or INDEF" and window.value("sigma") == 3
    window.press("Escape")
    assert window.current.typed == "3.0" and window.look("sigma")[2] == "TEntry"
    window.type("2.5")
    window.press("Control-s")
    assert window.value("sigma") == 2.5 and window.status.startswith("saved in ") and window.top.title()[0] != "*"
    window.press("Escape")
    assert not window.is_open and window.model.result["tweakreg"].sigma == 2.5


def a_wrong_value_is_not_lost_nor_saved(window):
    window.go("ylimit")
    window.type("0.0001")
    window.go("nclip")  # as by a click
    assert "out of range  (minimum=0.001: maximum=)" in window.status and window.look("ylimit")[2] == "Bad.TEntry"
    window.type("5")
    window.press("Control-s")
    assert window.value("nclip") == 5 and window.model.outcome == "" and window.current.row.name == "ylimit"
    assert window.current.typed == "0.0001"
    window.press("Control-z")
    assert window.current.typed == "INDEF" and window.value("nclip") == 5
    window.press("Control-d")
    assert window.value("nclip") == 3 and not window.model.dirty
    window.press("Escape")
    assert not window.is_open and window.model.outcome == "aborted"


def choices_by_key(window):
    window.go("updatehdr")
    for key, value in (("y", True), ("n", False), ("space", True), ("space", False)):
        window.press(f"Key-{key}")
        assert window.value("updatehdr") is value and window.current.row.name == "updatehdr"
    window.go("fitgeometry")
    for key, value in (("s", "shift"), ("r", "rshift"), ("r", "rscale"), ("Left", "rshift"), ("Right", "rscale"),
                       ("g", "general"), ("q", "general")):
        window.press(f"Key-{key}")
        assert window.value("fitgeometry") == value == window.current.typed
    window.press("Down")
    assert window.current.row.name == "residplot"
    first = window.form._canvas.canvasy(0)
    window.current.control.event_generate("<Button-4>")
    window.top.update()
    assert window.value("residplot") == "both" and window.form._canvas.canvasy(0) < first
    window.press("Control-Home")
    assert window.form._canvas.canvasy(0) == 0
    window.press("Control-z")
    assert window.value("fitgeometry") == "rscale" and window.current.row.name == "fitgeometry"


def parameter_sets(window):
    """They fold open in the form, and close again; their rows are as any others."""
    name = "imagefindpars.threshold"
    widget = window.form.widgets[name]
    window.press("Down")
    assert not widget.control.winfo_ismapped() and window.current.row.name == "imagefindpars"
    window.press("Return")
    assert widget.control.winfo_ismapped() and window.current.row.name == "imagefindpars"
    assert window.current.control.cget("text").startswith("▾")
    window.go(name)
    window.type("20")
    window.press("Tab")
    assert window.look("imagefindpars")[0] == "•*imagefindpars" and window.value(name) == 20
    assert window.look(name)[0] == "•*    threshold"
    window.go(name)
    window.type("30")
    window.press("Escape")  # gives up what was typed
    assert window.current.typed == "20.0" and window.is_open
    window.fold("imagefindpars")
    assert not widget.control.winfo_ismapped()
    window.press("Down")
    assert window.current.row.name == "refimage"
    window.press("Control-z")  # goes to what changed
    assert window.value(name) == 4 and window.current.row.name == name and widget.control.winfo_ismapped()


def the_most_used(window):
    window.press("Control-m")
    shown = [name for name, widget in window.form.widgets.items() if widget.control.winfo_ismapped()]
    assert sorted(shown) == sorted(MOST_USED) and window.current.row.name == "input"
    window.press("Down")
    assert window.current.row.name == "imagefindpars.threshold"
    window.press("Control-f")
    window.type("nclip")
    window.press("Escape")
    assert window.current.row.name == "nclip" and window.current.control.winfo_ismapped()
    assert not window.model.most_used


def help_beside(window):
    """Follow the row, and go where a link leads."""
    text = window.help._pane.text
    assert window.help.frame.winfo_ismapped()
    for name in ("searchrad", "imagefindpars.threshold", "refimagefindpars"):
        window._follow(name)
        window.top.update()
        assert text.get("1.0", "1.end") == window.model.row(name).label
    window.go("minobj")
    links = [tag for tag in text.tag_names() if tag.startswith("to ")]
    assert links
    window._follow("imagefindpars.nsigma")
    window.top.update()
    assert window.current.row.name == "imagefindpars.nsigma" and window.current.control.winfo_ismapped()
    window.press("F9")
    assert not window.help.frame.winfo_ismapped()
    window.press("F9")
    assert window.help.frame.winfo_ismapped()


def letters_and_colours(window):
    """At twice the size nothing is cut off, and the row with the keyboard is in view; dark is dark."""
    window.go("searchrad")
    before = window.current.control.winfo_height()
    while window.current.control.winfo_height() < 1.9 * before:
        window.press("Control-plus")
    canvas = window.form._canvas
    for widget in window.form.widgets.values():
        if widget.visible:
            end = widget._value.winfo_x() + widget._value.winfo_width()
            assert end <= canvas.winfo_width(), widget.row.name
            assert widget.control.winfo_width() >= widget.control.winfo_reqwidth(), widget.row.name
    top = canvas.canvasy(0)
    frame = window.current.control.master
    assert top <= frame.winfo_y() and frame.winfo_y() + frame.winfo_height() <= top + canvas.winfo_height()
    assert window.top.winfo_width() <= window.top.winfo_screenwidth()
    buttons = [w for frame in window.top.winfo_children() for bar in frame.winfo_children()
               for w in bar.winfo_children() if w.winfo_class() == "TButton" and w.cget("text") == "Help"]
    assert buttons[0].winfo_rootx() + buttons[0].winfo_width() <= window.top.winfo_rootx() + window.top.winfo_width()
    ground = canvas.cget("background")
    window.press("Control-l")
    assert canvas.cget("background") != ground and look.colour("ground") == canvas.cget("background")
    look._current = "light"  # as in another process
    look.recall_theme()
    assert look.colour("ground") == canvas.cget("background")


def search_and_help(window):
    window.press("Control-f")
    window.type("half height")
    window.press("Escape")
    assert window.current.row.name == "ylimit" and window.top.focus_get() is window.current.control
    frame = window.current.control.master
    top = window.form._canvas.canvasy(0)
    assert top <= frame.winfo_y() and frame.winfo_y() + frame.winfo_height() <= top + window.form._canvas.winfo_height()
    window.press("Control-f")
    window.type("threshold")
    window.press("Escape")
    assert window.current.row.name == "imagefindpars.threshold" and window.current.control.winfo_ismapped()
    window.press("Control-f")
    window.type("zzz")
    assert window.status == "no parameter holds 'zzz'"
    window.press("Escape")
    window.go("ylimit")
    window.press("F1")
    page = next(w for w in window.top.winfo_children() if w.winfo_class() == "Toplevel")
    page.update()
    text = page.pane.text
    assert text.get(*text.tag_ranges("found")) == textwrap.indent(window.model.help("ylimit"), "  ")
    assert text.bbox(text.tag_ranges("found")[0]) and str(text.cget("state")) == "disabled"
    text.focus_force()
    text.update()
    text.event_generate("<Escape>")
    assert not page.winfo_exists()
    before = window.current.control.winfo_reqheight()
    window.go("ylimit")
    window.press("Control-plus", "Control-plus", "Control-plus")
    assert window.current.control.winfo_reqheight() > before


def closing_asks(window):
    window.type("x.fits")
    answers = [None, False]
    messagebox.askyesnocancel = lambda *_, **__: answers.pop(0)
    window.press("Escape", "Escape")  # gives up what is typed; closes, since nothing is changed then
    assert not window.is_open and len(answers) == 2
    assert window.model.result is None


def closing_asks_when_changed(window):
    answers = [None, True]
    messagebox.askyesnocancel = lambda *_, **__: answers.pop(0)
    window.type("x.fits")
    window.press("Tab", "Escape")
    assert window.is_open and window.model.outcome == ""
    window.close()
    assert not answers and not window.is_open and window.model.result["tweakreg"].input == "x.fits"


def files(window):
    window.type("x.fits")
    filedialog.asksaveasfilename = lambda **_: "mine.cfg"
    window.press("Control-Shift-S")
    assert window.top.title().endswith("mine.cfg")
    with open("mine.cfg", encoding="utf-8") as file:
        text = file.read()
    with open("mine.cfg", "w", encoding="utf-8") as file:
        file.write("newer = 1\n" + text.replace("x.fits", "y.fits"))
    window.type("z.fits")
    questions = []
    messagebox.askyesno = lambda *of, **_: questions.append(of) or len(questions) > 1
    window.press("Control-s")
    assert "has changed since" in window.status
    filedialog.askopenfilename = lambda **_: "mine.cfg"
    window.press("Control-o")
    assert window.value("input") == "y.fits" and "newer" in window.status
    window.go("input")
    filedialog.askopenfilenames = lambda **_: ("a.fits", "b.fits")
    window.press("Control-b")
    assert window.value("input") == "a.fits,b.fits"
    window.go("nclip")
    window.press("Control-b")
    assert window.status == "nclip is no name of a file"


def pane_of_run(window):
    """Return the text of the run window; None where there is none."""
    top = next((w for w in window.top.winfo_children() if w.winfo_class() == "Toplevel"), None)
    return top and next(w for frame in top.winfo_children() for w in frame.winfo_children()
                        if w.winfo_class() == "Text")


def text_of_run(window):
    """Return what the run window says."""
    pane = pane_of_run(window)
    return pane.get("1.0", "end") if pane else ""


def words_of_run(window):
    """Return the texts of its labels and buttons."""
    top = pane_of_run(window).winfo_toplevel()
    return [str(w.cget("text")) for frame in top.winfo_children() for w in frame.winfo_children()
            if w.winfo_class() in ("TLabel", "TButton")]


class Seen(SimpleNamespace):
    """Stands in for the result of a run."""

    def __str__(self):
        return f"{self.verdict}\n\na.fits  failed  1\n"


def a_result(window):
    """Show the verdict first, in colour, and once: not as the log has it once more; offer the plots."""
    window.type("x.fits")

    def aligns(values):
        logging.getLogger("imagereg").setLevel(logging.INFO)
        logging.getLogger("imagereg.script").info("\n%s", Seen(verdict="none of 1 image aligned"))
        return Seen(verdict="none of 1 image aligned", ok=False, written=["vector_a.png"])

    window.model._document.run = aligns
    window.execute()
    window.until(lambda: "none of" in window.status)
    assert text_of_run(window).count("none of 1 image aligned") == 1
    assert [len(pane_of_run(window).tag_ranges(tag)) for tag in ("verdict", "error", "good")] == [2, 4, 0]
    assert [text for text in words_of_run(window) if text] == ["none of 1 image aligned", "Close", "Plots"]


def execution(window):
    window.type("x.fits")
    log = logging.getLogger("imagereg.script")

    def run(values):
        logging.getLogger("imagereg").setLevel(logging.INFO)
        log.info("begun with %s", values["tweakreg"].input)
        log.warning("odd")
        return SimpleNamespace(answer=input("[a]ccept? "))

    def shown():
        return text_of_run(window)

    def pane():
        return pane_of_run(window)

    def top():
        return pane().winfo_toplevel()

    window.model._document.run = run
    terminal = sys.stdin, sys.stdout
    window.press("Control-Return")
    window.until(lambda: "[a]ccept?" in shown())
    assert "begun with x.fits\nwarning: odd\n" in shown() and pane().tag_ranges("error")
    answer = top().focus_lastfor()
    answer.focus_force()
    for key in ("<Key-y>", "<Return>"):
        top().update()
        answer.event_generate(key)
    window.until(lambda: "tweakreg was executed" in shown())
    assert "[a]ccept? y\n" in shown() and "answer='y'" in shown() and (sys.stdin, sys.stdout) == terminal
    assert window.model.outcome == "executed" and not window.model.dirty
    assert not [h for h in logging.getLogger("imagereg").handlers if type(h).__name__ == "_QueueHandler"]
    top().event_generate("<Return>")
    window.top.update()
    assert not pane() and window.status == "tweakreg was executed"

    def fails(values):
        raise InputError("x.fits can't be read: no such file")

    window.model._document.run = fails
    window.execute()
    window.until(lambda: "no such file" in shown())
    assert "Traceback" not in shown() and "no such file" in window.status
    top().event_generate("<Escape>")
    window.top.update()

    def endless(values):
        log.info("endless")
        for number in progress(range(9), "counting", 9):
            while number == 2:
                time.sleep(0.01)

    window.model._document.run = endless
    window.execute()
    window.until(lambda: any(text.startswith("counting: 3 of 9   ") for text in words_of_run(window)))
    assert "endless" in shown()
    top().event_generate("<Control-c>")
    window.until(lambda: "tweakreg was stopped" in shown())
    top().event_generate("<Escape>")
    window.take_keyboard()
    window.press("Escape")
    assert not window.is_open and window.model.result["tweakreg"].input == "x.fits"


def within_another_application(window):
    window.press("Escape")
    assert not window.is_open


if __name__ == "__main__":
    faulthandler.dump_traceback_later(2 * PATIENCE, exit=True)
    case = globals()[sys.argv[1]]
    other = tkinter.Tk() if case is within_another_application else None
    drive(case, run=(lambda values: None) if case is execution else None)
    if other:
        assert other.winfo_exists() and not other.winfo_children()
