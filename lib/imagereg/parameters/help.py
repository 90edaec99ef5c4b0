"""The help of the tasks: a plain text each, ``help/<task>.help``, and the HTML page made from it.

Headings stand at the margin, all else is indented. Under PARAMETERS a line indented by two begins
an entry: ``name = default``, or the title of a group. The lines below it, to the first blank one,
are made from the declaration of the parameter; the prose that follows, and that of a group, is
written by hand. A block that is indented further, or has columns, is shown as it stands, and ``- ``
begins an item of a list.
"""

from __future__ import annotations

import dataclasses
import functools
import html
import itertools
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from imagereg.parameters.declaration import Parameter
from imagereg.parameters.spec import Spec, package_file, package_text

_ENTRY = re.compile(r"  (?:(?P<name>\w+) =.*|[A-Z][A-Z ]+)")
_COLUMNS = re.compile(r"\S {3,}\S")
_TASKS = re.compile(r"\b(?:(?:ref)?imagefindpars|tweakreg|tweakback"
                    r"|(?:apply|restore|activate|list|compare)wcs)\b(?!\.\w|=)")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A parameter, or a group of parameters, in the help.

    Parameters
    ----------
    name : str
        Name of the parameter; of the parameter set for its button; empty for a group.
    head : str
        The line that begins it and, for a parameter, what is made from its declaration.
    prose : str
        What is written by hand, with its indent; perhaps empty.
    """

    name: str
    head: str
    prose: str

    @property
    def text(self) -> str:
        """Head and prose, without their common indent."""
        return textwrap.dedent("\n\n".join(filter(None, (self.head, self.prose))))


@dataclasses.dataclass(frozen=True)
class Page:
    """A help text, taken apart.

    Parameters
    ----------
    sections : dict of str to str
        Text under each heading; under PARAMETERS, what comes before the entries.
    entries : tuple of Entry
        Parameters and groups, in order.
    """

    sections: dict[str, str]
    entries: tuple[Entry, ...]

    def __str__(self) -> str:
        """Return the text."""
        parts = []
        for title, body in self.sections.items():
            blocks = [body] if body else []
            if title == "PARAMETERS":
                blocks += [f"{entry.head}\n\n{entry.prose}".rstrip() for entry in self.entries]
            parts.append(f"{title}\n" + "\n\n".join(blocks))
        return "\n\n".join(parts) + "\n"


def parse(text: str) -> Page:
    """Return the `Page` of a help text."""
    sections: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line[:1].strip():
            body = sections.setdefault(line.rstrip(), [])
        else:
            body.append(line.rstrip())
    lines = sections.get("PARAMETERS", [])
    starts = [n for n, line in enumerate(lines) if _ENTRY.fullmatch(line)]
    ranges = itertools.pairwise([*starts, len(lines)])
    entries = tuple(_entry(lines[low:high]) for low, high in ranges)
    if starts:
        sections["PARAMETERS"] = lines[: starts[0]]
    texts = {title: "\n".join(body).strip("\n") for title, body in sections.items()}
    return Page(texts, entries)


def _entry(lines: Sequence[str]) -> Entry:
    found = _ENTRY.fullmatch(lines[0])
    name = (found and found["name"]) or ""
    end = 1
    while name and end < len(lines) and lines[end]:
        end += 1
    return Entry(name, "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n"))


def refreshed(text: str, spec: Spec) -> str:
    """Return a help text with all parameters as they are declared, every prose in its place.

    Parameters
    ----------
    text : str
        The help text.
    spec : Spec
        The declaration.

    Raises
    ------
    ValueError
        There is prose for what is no parameter and no group.
    """
    page = parse(text)
    prose = {entry.name or entry.head: entry.prose for entry in page.entries}
    entries = []
    for section, parameters in itertools.groupby(spec.layout, lambda p: p.section):
        if section:
            head = f"  {section}"
            entries.append(Entry("", head, prose.pop(head, "")))
        for p in parameters:
            title = _title(p)
            entries.append(Entry(title, "\n".join(p.help_lines()), prose.pop(title, "")))
    lost = [name.strip() for name, words in prose.items() if words]
    if lost:
        names = ", ".join(lost)
        raise ValueError(f"help/{spec.task}.help has prose of {names}, which is not declared")
    return str(dataclasses.replace(page, entries=tuple(entries)))


def _title(parameter: Parameter) -> str:
    """Return the name of a parameter, or of the parameter set of a button, in the help."""
    return parameter.pset or parameter.name


def task_help(task: str) -> str:
    """Return the whole help of a task, such as 'tweakreg', as text."""
    return package_text("help_files", f"{task}.help")


def summary(task: str) -> str:
    """Return what a task is for, in one line, as its help says under NAME."""
    return parse(task_help(task)).sections["NAME"].partition(" - ")[2].strip()


def parameter_help(task: str, name: str, width: int | None = None) -> str:
    """Return all that the help says of one parameter, as text.

    Parameters
    ----------
    task : str
        A task or parameter set, such as 'tweakreg'.
    name : str
        Of the parameter, an alias or an abbreviation of it, or of a button.
    width : int, optional
        Columns at which the text is wrapped; by default it stays as it is, with 80 at most.

    Raises
    ------
    ParameterError
        There is no such parameter.
    """
    spec = Spec.load(task)
    titles = {spelling: p.pset for p in spec.layout if p.pset for spelling in (p.name, p.pset)}
    title = titles.get(name) or spec.find(name, minimum_match=True).name
    entry = next(entry for entry in parse(task_help(task)).entries if entry.name == title)
    if width is None:
        return entry.text
    return textwrap.dedent(_wrapped_entry(entry.head, entry.prose, width))


def page_address(task: str) -> str:
    """Return the ``file:///...html`` of a task's page; empty if it is no file of its own."""
    page = package_file("help_files", f"{task}.html")
    is_file = hasattr(page, "resolve") and page.is_file()
    return page.resolve().as_uri() if is_file else ""


def html_page(task: str, text: str | None = None) -> str:
    """Return the help as one HTML page, with ``#name`` for parameters, buttons and aliases.

    Parameters
    ----------
    task : str
        A task or parameter set, such as 'tweakreg'.
    text : str, optional
        The help text; by default that of the package.
    """
    spec = Spec.load(task)
    page = parse(task_help(task) if text is None else text)
    links = _Links.of(task, page.sections)
    names = {_title(p): (p.name, p.pset, *p.aliases) for p in spec.layout}
    body = [f"<h1>{task}</h1>", _contents(page)]
    for title, prose in page.sections.items():
        body.append(f'<h2 id="{_anchor(title)}">{title.capitalize()}</h2>')
        body += _blocks(prose, links)
        if title == "PARAMETERS":
            for entry in page.entries:
                body += _entry_html(entry, names, links)
    return _FRAME.format(task=task, style=_STYLE, body="\n".join(body))


@dataclasses.dataclass(frozen=True)
class _Links:
    """Turns prose into HTML, with a link from ``name=value`` to the parameter on its page."""

    task: str
    places: dict[str, str]
    sections: tuple[str, ...]

    @classmethod
    def of(cls, task: str, sections: Iterable[str]) -> _Links:
        """Know the parameters of the page, then those of tweakreg, then those of imagefindpars."""
        places: dict[str, str] = {}
        for other in ("imagefindpars", "tweakreg"):
            places |= {name: f"{other}.html#{name}" for name in Spec.load(other).names}
        places |= {name: f"#{name}" for name in Spec.load(task).names}
        return cls(task, places, tuple(sorted(sections, key=len, reverse=True)))

    def __call__(self, words: str) -> str:
        """Return a line of prose as HTML."""
        setting = re.compile(rf"\b({'|'.join(self.places)})=([^\s,;()]*[^\s,;().:?])")
        words = setting.sub(self._setting, html.escape(words, quote=False))
        words = re.sub(rf"\b({'|'.join(self.sections)})\b", self._section, words)
        return _TASKS.sub(self._page, words)

    def _section(self, found):
        return f'<a href="#{_anchor(found[1])}">{found[1]}</a>'

    def _setting(self, found):
        return f'<code><a href="{self.places[found[1]]}">{found[1]}</a>={found[2]}</code>'

    def _page(self, found):
        is_here = found[0] == self.task
        return found[0] if is_here else f'<a href="{found[0]}.html">{found[0]}</a>'


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-") + "-section"


def _contents(page: Page) -> str:
    """Return links to the sections, and to every parameter."""
    sections = [f'<a href="#{_anchor(title)}">{title.capitalize()}</a>' for title in page.sections]
    names = [f'<a href="#{entry.name}">{entry.name}</a>' for entry in page.entries if entry.name]
    listed = f'<p class="names">{" ".join(names)}</p>'
    return f"<nav><p>{' '.join(sections)}</p>\n{_FILTER}\n{listed}</nav>"


def _entry_html(entry: Entry, names: dict[str, tuple[str, ...]], links: _Links) -> list[str]:
    """Return the lines of one parameter or group."""
    first, *made = entry.head.splitlines()
    if not entry.name:
        return [f"<h3>{first.strip().capitalize()}</h3>", *_blocks(entry.prose, links)]
    default = html.escape(first.partition("=")[2].strip(), quote=False)
    others = [name for name in names[entry.name] if name and name != entry.name]
    anchors = "".join(f'<a id="{name}"></a>' for name in others)
    description = links(" ".join(map(str.strip, made)))
    return [
        f'<section id="{entry.name}">{anchors}',
        f"<h4>{entry.name} <span>= {default}</span></h4>",
        f'<p class="made">{description}</p>',
        *_blocks(entry.prose, links),
        *(_FIGURE.format(file=file, caption=words) for file, words in _FIGURES.get(entry.name, ())),
        "</section>",
    ]


def _blocks(text: str, links: _Links) -> Iterator[str]:
    """Yield the paragraphs, lists and examples of a text as lines of HTML."""
    for kind, group in itertools.groupby(blocks(text), lambda block: block[0]):
        if kind == "literal":
            for _, example in group:
                yield f"<pre>{html.escape(textwrap.dedent(example), quote=False)}</pre>"
        elif kind == "item":
            yield from ["<ul>", *(f"<li>{links(words)}</li>" for _, words in group), "</ul>"]
        else:
            yield from (f"<p>{links(words)}</p>" for _, words in group)


def blocks(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a text, each with its kind: 'paragraph', 'item' of a list, or 'literal'.

    Paragraphs and items are one line each; what is literal is to be shown as it stands.
    """
    parts = textwrap.dedent(text).split("\n\n") if text else []
    for literal, group in itertools.groupby(parts, _is_literal):
        if literal:
            yield "literal", "\n\n".join(group)
            continue
        for part in group:
            words, *items = (" ".join(p.split()) for p in re.split("^- ", part, flags=re.MULTILINE))
            if words:
                yield "paragraph", words
            yield from (("item", item) for item in items)


def wrapped(text: str, width: int | None) -> str:
    """Return a help page with its running text wrapped at a width; examples and tables stay.

    With None for the width, all stays as it is.
    """
    if width is None:
        return text
    page = parse(text)
    parts = []
    for title, body in page.sections.items():
        parts.append("\n".join([title, *_filled(body, width)]))
        if title == "PARAMETERS":
            parts += [_wrapped_entry(entry.head, entry.prose, width) for entry in page.entries]
    return "\n\n".join(parts) + "\n"


def _wrapped_entry(head: str, prose: str, width: int) -> str:
    """Return an entry of a help page, wrapped at a width."""
    first, *made = head.splitlines()
    parts = ["\n".join([first, *_filled("\n".join(made), width)]), "\n".join(_filled(prose, width))]
    return "\n\n".join(filter(None, parts))


def _filled(text: str, width: int) -> list[str]:
    """Return the lines of a text that is indented, wrapped at a width."""
    indents = [len(line) - len(line.lstrip()) for line in text.splitlines() if line]
    margin = " " * min(indents, default=0)
    fill = functools.partial(
        textwrap.wrap, width=width, break_long_words=False, break_on_hyphens=False
    )
    lines: list[str] = []
    for kind, words in blocks(text):
        if lines and kind != "item":
            lines.append("")
        if kind == "literal":
            lines += textwrap.indent(words, margin).splitlines()
        elif kind == "item":
            lines += fill(f"- {words}", initial_indent=margin, subsequent_indent=f"{margin}  ")
        else:
            lines += fill(words, initial_indent=margin, subsequent_indent=margin)
    return lines


def linked(words: str, task: str) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a text, each with what it names as a row of the editor or a section.

    That is a parameter before an equals sign, such as ``nclip`` or ``imagefindpars.threshold``; a
    parameter set; a section of the help of the task, such as ``INPUT``; else empty.
    """
    targets = _row_names(task)
    end = 0
    for found in _named_in(task).finditer(words):
        yield words[end : found.start()], ""
        yield found[0], targets.get(found[0], found[0])
        end = found.end()
    yield words[end:], ""


@functools.cache
def _row_names(task: str) -> dict[str, str]:
    """Return what parameters are called in the editor of tweakreg, by their names in a page."""
    names = {name: f"imagefindpars.{name}" for name in Spec.load("imagefindpars").names}
    names |= {name: name for name in Spec.load("tweakreg").names}
    if task != "tweakreg":
        names |= {name: f"{task}.{name}" for name in Spec.load(task).names}
    return names


@functools.cache
def _named_in(task: str) -> re.Pattern[str]:
    """Return the pattern of what `linked` finds."""
    parameters = "|".join(_row_names(task))
    sections = "|".join(sorted(parse(task_help(task)).sections, key=len, reverse=True))
    return re.compile(rf"\b(?:{parameters})(?==)|\b(?:ref)?imagefindpars\b(?!=)|\b(?:{sections})\b")


def _is_literal(block: str) -> bool:
    """Whether a block is shown as it stands: an example, a table."""
    return block.startswith(" ") or bool(_COLUMNS.search(block))


#: Pictures of results, good and bad, by parameter; of the demo, the bad ones against random stars.
_FIGURES = {
    "see2dplot": [
        ("good_offset.png", "Good: one bin has nearly all pairs, and all others have what chance "
                            "gives."),
        ("bad_offset.png", "Bad: no bin stands out. The lists have no stars in common, or the "
                           "offset is outside searchrad."),
    ],
    "residplot": [
        ("residuals.png", "Good: many matches, residuals scattered about zero without a trend, "
                          "wider for faint stars."),
        ("bad_residuals.png", "Bad: two matches always fit exactly. Residuals of zero say nothing "
                              "where there are so few."),
    ],
}  # fmt: skip
_FIGURE = '<figure><img src="{file}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
#: Hides the parameters without a text; without scripts there is no such field.
_FILTER = """<p id="filter" hidden><label>Parameters with
<input type="search" placeholder="threshold"></label></p>
<script>
document.addEventListener("DOMContentLoaded", () => {
  const line = document.getElementById("filter");
  line.hidden = false;
  line.querySelector("input").addEventListener("input", event => {
    const text = event.target.value.toLowerCase();
    for (const entry of document.querySelectorAll("section")) {
      entry.hidden = !entry.textContent.toLowerCase().includes(text);
      const link = document.querySelector(`.names a[href="#${entry.id}"]`);
      link.hidden = entry.hidden;
    }
  });
});
</script>"""
_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: #fff; --soft: #f3f4f6;
  --line: #d5d8dd; --link: #0b57d0; --quiet: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --page: #16181c; --soft: #22262c;
  --line: #3a4049; --link: #8ab4f8; --quiet: #a0a8b4; } }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.5em 0 .5em; }
h2 { border-bottom: 1px solid var(--line); }
h4, code, pre, .names { font-family: ui-monospace, monospace; }
h4 { font-size: 1rem; margin: 0; }
h4 span, .made { font-weight: normal; color: var(--quiet); }
.made { margin: 0 0 .5em; }
[hidden] { display: none !important; }
img { max-width: 100%; background: #fff; }
figure { margin: 1em 0; }
figcaption { color: var(--quiet); font-size: .9rem; }
input { font: inherit; color: inherit; background: var(--soft); border: 1px solid var(--line);
  padding: .2em .4em; }
section { margin: 1.2em 0; padding-left: .8em; border-left: 3px solid var(--line); }
section:target { border-color: var(--link); background: var(--soft); }
pre { overflow-x: auto; padding: .6em; background: var(--soft); font-size: .85rem;
  line-height: 1.4; }
nav a { margin-right: .6em; }
.names { font-size: .85rem; }
"""
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{task}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""
