"""The help of the tasks: one plain text each, ``help/<task>.help``, and what is made of it.

Headings stand at the margin, all else is indented. Under PARAMETERS a line indented by two begins an entry: it is
``name = default``, or the title of a group. The lines below it, to the first blank one, are made from the declaration
of the parameter; the prose that follows, and that of a group, is written by hand. In any text a block that is indented
further, or has columns, is shown as it stands, and ``- `` begins an item of a list.
"""

from __future__ import annotations

import dataclasses
import html
import itertools
import re
import textwrap

from imagereg.parameters.spec import Spec, package_file, package_text

_ENTRY = re.compile(r"  (?:(?P<name>\w+) =.*|[A-Z][A-Z ]+)")
_COLUMNS = re.compile(r"\S {3,}\S")
_TASKS = re.compile(r"\b(?:(?:ref)?imagefindpars|tweakreg)\b(?!\.\w|=)")


@dataclasses.dataclass(frozen=True)
class Entry:
    """A parameter, or a group of them.

    Parameters
    ----------
    name : str
        Of the parameter; of the parameter set for its button; empty for a group.
    head : str
        The line that begins it, and for a parameter what is made from its declaration.
    prose : str
        What is written by hand, indented as it stands; empty where there is nothing.
    """

    name: str
    head: str
    prose: str

    @property
    def text(self):
        """All of it, without the common indent."""
        return textwrap.dedent("\n\n".join(filter(None, (self.head, self.prose))))


@dataclasses.dataclass(frozen=True)
class Page:
    """A help text, taken apart.

    Parameters
    ----------
    sections : dict of str to str
        What stands under each heading; under PARAMETERS, what comes before the entries.
    entries : tuple of Entry
        Parameters and groups, in order.
    """

    sections: dict
    entries: tuple

    def __str__(self):
        """Return the text."""
        parts = []
        for title, body in self.sections.items():
            entries = [f"{entry.head}\n\n{entry.prose}".rstrip() for entry in self.entries] * (title == "PARAMETERS")
            parts.append(f"{title}\n" + "\n\n".join(filter(None, [body, *entries])))
        return "\n\n".join(parts) + "\n"


def parse(text):
    """Return the `Page` of a help text."""
    sections = {}
    for line in text.splitlines():
        if line[:1].strip():
            body = sections.setdefault(line.rstrip(), [])
        else:
            body.append(line.rstrip())
    starts = [n for n, line in enumerate(sections.get("PARAMETERS", ())) if _ENTRY.fullmatch(line)]
    entries = []
    if starts:
        lines = sections["PARAMETERS"]
        sections["PARAMETERS"] = lines[:starts[0]]
        entries = [_entry(lines[low:high]) for low, high in itertools.pairwise([*starts, len(lines)])]
    return Page({title: "\n".join(body).strip("\n") for title, body in sections.items()}, tuple(entries))


def _entry(lines):
    name = _ENTRY.fullmatch(lines[0])["name"] or ""
    end = lines.index("", 1) if name and "" in lines[1:] else len(lines) if name else 1
    return Entry(name, "\n".join(lines[:end]), "\n".join(lines[end:]).strip("\n"))


def refreshed(text, spec):
    """Return a help text with the heads of all parameters as they are declared, and every prose in its place.

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
            entries.append(Entry("", f"  {section}", prose.pop(f"  {section}", "")))
        entries += [Entry(_title(p), "\n".join(p.help_lines()), prose.pop(_title(p), "")) for p in parameters]
    lost = [name.strip() for name, words in prose.items() if words]
    if lost:
        raise ValueError(f"help/{spec.task}.help has prose of {', '.join(lost)}, which is not declared")
    return str(dataclasses.replace(page, entries=tuple(entries)))


def _title(parameter):
    """Name under which a parameter, or the parameter set of a button, stands in the help."""
    return parameter.pset or parameter.name


def task_help(task):
    """Return the whole help of a task, such as 'tweakreg', as text."""
    return package_text("help_files", f"{task}.help")


def parameter_help(task, name):
    """Return all that the help says of one parameter, as text of 80 columns.

    Parameters
    ----------
    task : str
        Such as 'tweakreg'.
    name : str
        Of the parameter, an alias or an abbreviation of it, or of a button.

    Raises
    ------
    ParameterError
        There is no such parameter.
    """
    spec = Spec.load(task)
    titles = {spelling: p.pset for p in spec.layout if p.pset for spelling in (p.name, p.pset)}
    title = titles.get(name) or spec.find(name, minimum_match=True).name
    return next(entry.text for entry in parse(task_help(task)).entries if entry.name == title)


def page_address(task):
    """Return where a browser finds the page of a task: ``file:///...html``; empty where it is no file of its own."""
    page = package_file("help_files", f"{task}.html")
    return page.resolve().as_uri() if hasattr(page, "resolve") and page.is_file() else ""


def html_page(task, text=None):
    """Return the help as one page of HTML; every parameter, button and alias can be gone to by ``#name``.

    Parameters
    ----------
    task : str
        Such as 'tweakreg'.
    text : str, optional
        The help text; that of the package where not given.
    """
    spec, page = Spec.load(task), parse(task_help(task) if text is None else text)
    linked = _Links.of(task)
    names = {_title(p): (p.name, p.pset, *p.aliases) for p in spec.layout}
    body = [f"<h1>{task}</h1>", _contents(page)]
    for title, prose in page.sections.items():
        body += [f'<h2 id="{_place(title)}">{title.capitalize()}</h2>', *_blocks(prose, linked)]
        if title == "PARAMETERS":
            body += [line for entry in page.entries for line in _entry_html(entry, names, linked)]
    return _FRAME.format(task=task, style=_STYLE, body="\n".join(body))


@dataclasses.dataclass(frozen=True)
class _Links:
    """Turns a line of prose into HTML, with links from ``name=value`` to the parameter, here or on another page."""

    task: str
    places: dict

    @classmethod
    def of(cls, task):
        """Know the parameters of a page and, where they have other names, of the tasks beside it."""
        others = {name: f"{other}.html#{name}" for other in ("imagefindpars", "tweakreg")
                  for name in Spec.load(other).names}
        return cls(task, others | {name: f"#{name}" for name in Spec.load(task).names})

    def __call__(self, words):
        setting = re.compile(rf"\b({'|'.join(self.places)})=([^\s,;()]*[^\s,;().:?])")
        words = setting.sub(self._setting, html.escape(words, quote=False))
        return _TASKS.sub(self._page, words)

    def _setting(self, found):
        return f'<code><a href="{self.places[found[1]]}">{found[1]}</a>={found[2]}</code>'

    def _page(self, found):
        return found[0] if found[0] == self.task else f'<a href="{found[0]}.html">{found[0]}</a>'


def _place(title):
    return title.lower().replace(" ", "-") + "-section"


def _contents(page):
    """Return links to the sections, and to every parameter."""
    links = [f'<a href="#{_place(title)}">{title.capitalize()}</a>' for title in page.sections]
    known = [f'<a href="#{entry.name}">{entry.name}</a>' for entry in page.entries if entry.name]
    return f"<nav><p>{' '.join(links)}</p>\n<p class=\"names\">{' '.join(known)}</p></nav>"


def _entry_html(entry, names, linked):
    """Return the lines of one parameter or group."""
    first, *made = entry.head.splitlines()
    if not entry.name:
        return [f"<h3>{first.strip().capitalize()}</h3>", *_blocks(entry.prose, linked)]
    default = html.escape(first.partition("=")[2].strip(), quote=False)
    anchors = "".join(f'<a id="{name}"></a>' for name in names[entry.name] if name and name != entry.name)
    said = linked(" ".join(line.strip() for line in made))
    return [f'<section id="{entry.name}">{anchors}', f"<h4>{entry.name} <span>= {default}</span></h4>",
            f'<p class="made">{said}</p>', *_blocks(entry.prose, linked), "</section>"]


def _blocks(text, linked):
    """Return the paragraphs, lists and examples of a text as lines of HTML."""
    result = []
    blocks = textwrap.dedent(text).split("\n\n") if text else []
    for literal, group in itertools.groupby(blocks, _is_literal):
        if literal:
            shown = html.escape(textwrap.dedent("\n\n".join(group)), quote=False)
            result.append(f"<pre>{shown}</pre>")
            continue
        for block in group:
            items = re.split(r"^- ", block, flags=re.MULTILINE)
            words = [linked(" ".join(item.split())) for item in items]
            result += [f"<p>{words[0]}</p>"] * bool(words[0])
            result += ["<ul>", *(f"<li>{item}</li>" for item in words[1:]), "</ul>"] * bool(words[1:])
    return result


def _is_literal(block):
    """Whether a block is to be shown as it stands: an example, a table."""
    return block.startswith(" ") or bool(_COLUMNS.search(block))


_STYLE = """
:root { color-scheme: light dark; --text: #1a1a1a; --page: #fff; --soft: #f3f4f6; --line: #d5d8dd; --link: #0b57d0;
  --quiet: #5b6470; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e6ea; --page: #16181c; --soft: #22262c; --line: #3a4049;
  --link: #8ab4f8; --quiet: #a0a8b4; } }
body { max-width: 46rem; margin: 0 auto; padding: 1rem; color: var(--text); background: var(--page);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); }
h1, h2, h3, h4 { line-height: 1.25; margin: 1.5em 0 .5em; }
h2 { border-bottom: 1px solid var(--line); }
h4, code, pre, .names { font-family: ui-monospace, monospace; }
h4 { font-size: 1rem; margin: 0; }
h4 span, .made { font-weight: normal; color: var(--quiet); }
.made { margin: 0 0 .5em; }
section { margin: 1.2em 0; padding-left: .8em; border-left: 3px solid var(--line); }
section:target { border-color: var(--link); background: var(--soft); }
pre { overflow-x: auto; padding: .6em; background: var(--soft); font-size: .85rem; line-height: 1.4; }
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
