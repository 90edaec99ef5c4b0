"""The summary of a batch: a table with a row for each visit, and a page that leads to theirs."""

from __future__ import annotations

import dataclasses
import html
import io
import os
from collections import Counter
from collections.abc import Mapping

from imagereg.tasks.batch.state import ALIGNED, Outcome

_COLUMNS = {"visit": "visit", "status": "status", "n_images": "images", "n_aligned": "aligned",
            "seconds": "s", "verdict": "verdict"}
_FILES = {"tweakreg_report.html": "page", "tweakreg.log": "log", "tweakreg_output.txt": "output"}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tweakreg: {verdict}</title>
<style>
body {{ margin: 0 auto; max-width: 70rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif;
  color-scheme: light dark; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .3rem .8rem; text-align: left; border-bottom: 1px solid #8886; }}
td.number {{ text-align: right; }}
.failed, .not-aligned {{ color: #c0392b; }} .aligned {{ color: #1a7f4b; }}
</style>
</head>
<body>
<h1>{verdict}</h1>
<table>
<tr>{heading}</tr>
{rows}
</table>
</body>
</html>
"""


def verdict_of_batch(outcomes: Mapping[str, Outcome]) -> str:
    """Return the result of a batch in a sentence: how many visits there are of each status."""
    counts = Counter(outcome.status for outcome in outcomes.values())
    n_aligned = counts.pop(ALIGNED, 0)
    parts = [f"{n_aligned} of {len(outcomes)} visits aligned"]
    parts += [f"{number} {status}" for status, number in sorted(counts.items())]
    return ", ".join(parts)


def summary_text(outcomes: Mapping[str, Outcome]) -> str:
    """Return the summary table as ECSV: a row for each visit."""
    from astropy.table import Table

    rows = []
    for name, outcome in outcomes.items():
        rows.append({"visit": name, **dataclasses.asdict(outcome)})
    table = Table(rows=rows, meta={"verdict": verdict_of_batch(outcomes)})
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue()


def index_page(outcomes: Mapping[str, Outcome], folder: str) -> str:
    """Return the page that leads to the pages, logs and output of all visits in `folder`."""
    rows = []
    for name, outcome in outcomes.items():
        cells = {"visit": name, **dataclasses.asdict(outcome)}
        shown = []
        for column in _COLUMNS:
            number = isinstance(cells[column], int | float)
            text = html.escape(str(cells[column]))
            shown.append(f'<td class="number">{text}</td>' if number else f"<td>{text}</td>")
        links = " ".join(_links(name, folder))
        kind = outcome.status.replace(" ", "-")
        rows.append(f'<tr class="{kind}">{"".join(shown)}<td>{links}</td></tr>')
    heading = "".join(f"<th>{title}</th>" for title in [*_COLUMNS.values(), ""])
    return _PAGE.format(verdict=verdict_of_batch(outcomes), heading=heading, rows="\n".join(rows))


def _links(name, folder):
    """Yield links to what a visit has in its folder."""
    for file, what in _FILES.items():
        if os.path.isfile(os.path.join(folder, name, file)):
            yield f'<a href="{html.escape(name)}/{file}">{what}</a>'
