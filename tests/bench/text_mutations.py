"""Damage every kind of text that tweakreg reads, and look at what the command makes of it.

The kinds: a .cfg, values of parameters, an @list, a catfile, catalogs (columns, csv, ECSV,
VOTable, a reference), a list of exclusions, region files, a shiftfile, a solution file, the
history file. The damage: bytes, tokens, numbers, lines, pieces that are doubled, cut, or
swapped; long runs of blanks or brackets; control characters and bytes that are not UTF-8. After
each

- there is no traceback and no warning on the terminal;
- bad input ends with exit status 2 and one line of at most 300 characters, without controls;
- the processor time is bounded: `--cpu` seconds more than the undamaged text takes.

Exit status 1 means that something was not so.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from pathlib import Path

import trials

FIRST, SECOND = "jdemo1aaq_flt.fits", "jdemo1abq_flt.fits"
_QUICK = (*trials.PLAIN, "writecat=no", "num_cores=1")
_TOKENS = (
    b"nan",
    b"inf",
    b"-inf",
    b"1e999",
    b"-1",
    b"0",
    b"INDEF",
    b"None",
    b"yes",
    b"99999999999999999999",
    b"1.5.2",
    b"12:34:56.7",
    b"1d5",
    b"0x10",
    b"''",
    b'"',
    b"'",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"(",
    b")",
    b"{",
    b"}",
    b"#",
    b"##",
    b"=",
    b"==",
    b",",
    b";",
    b"|",
    b"@",
    b"%s",
    b"%(x)s",
    b"$HOME",
    b"${x}",
    b"\\",
    b"\x00",
    b"\x07",
    b"\x1b[31m",
    b"\x1b]0;x\x07",
    b"\x7f",
    b"\xff\xfe",
    b"\xc3\x28",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"\r",
    b"\r\n",
    b"\n",
    b"\n\n",
    b"\t",
    b"\x0b",
    b"\x0c",
    b"\x85",
    b"!",
    b"-",
    b"+",
    b"*",
    b"?",
    b"~",
    b"~nobody/x",
    b"/",
    b"/dev/null",
    b".",
    b"..",
    b"<",
    b">",
    b"<!DOCTYPE x>",
    b"&x;",
)
_LONG = (
    b" ",
    b"\t",
    b"x",
    b"[",
    b"(",
    b"9",
    b"#",
    b'"',
    b"'",
    b"=",
    b",",
    b"\n",
    b"\\",
    b"0.",
    b"[[a]]\n",
)


def mutate(content, rng):
    """Return a text with one to four damages."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        content = rng.choice((_token, _token, _number, _span, _line, _bytes, _run, _cut))(
            content, rng
        )
    return content


def _token(content, rng):
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(_TOKENS) + content[at:]


def _number(content, rng):
    """Put a token in the place of a number or a word."""
    words = list(re.finditer(rb"[\w.+-]+", content[:20_000]))
    if not words:
        return _token(content, rng)
    word = rng.choice(words)
    return content[: word.start()] + rng.choice(_TOKENS) + content[word.end() :]


def _span(content, rng):
    """Double, drop or move a piece."""
    first, last = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    last = min(last, first + rng.choice((1, 5, 80, 1000)))
    piece, at = content[first:last], rng.randrange(len(content) + 1)
    kept = rng.choice((content, content[:first] + content[last:]))
    return kept[:at] + rng.choice((piece, b"")) + kept[at:]


def _line(content, rng):
    """Double, drop, move or split a line."""
    lines = content.split(b"\n")
    which = rng.randrange(len(lines))
    line = lines[which]
    if rng.random() < 0.5:
        lines.pop(which)
    lines.insert(
        rng.randrange(len(lines) + 1), rng.choice((line, line[: len(line) // 2], line[::-1]))
    )
    return b"\n".join(lines)


def _bytes(content, rng):
    changed = bytearray(content or b" ")
    for _ in range(rng.randint(1, 10)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _run(content, rng):
    """Insert a long run of one thing."""
    at = rng.randrange(len(content) + 1)
    return content[:at] + rng.choice(_LONG) * rng.choice((100, 1000, 7000)) + content[at:]


def _cut(content, rng):
    return content[: rng.randrange(len(content) + 1)]


class Stage:
    """A folder with one of every kind of text, and the commands that read them.

    Attributes
    ----------
    commands : dict of str to tuple
        By kind of text: the name of its file, and the words of the command.
    """

    def __init__(self, folder):
        self.folder = folder
        self.server = trials.Server(seconds=30, megabytes=2000)
        trials.make_visit(folder, n_exposures=2, n_chips=1)
        for words in (
            (FIRST, SECOND, *trials.PLAIN, "shiftfile=yes"),
            ("--savepars", "tweakreg.cfg"),
        ):
            outcome = trials.run(words, folder)
            if outcome.status:
                raise RuntimeError(f"{outcome.out}{outcome.err}")
        (folder / f"{SECOND[:-5]}_sci1_xy_catalog.coo").rename(folder / "second.cat")
        (folder / f"{FIRST[:-5]}_sky_catalog.coo").rename(folder / "refcat.cat")
        self._convert()
        user = (SECOND, *_QUICK, "refcat=refcat.cat", "catfile=cats.txt")
        excluding = (SECOND, *_QUICK, "refcat=refcat.cat", "exclusions=exclusions.txt")
        self.commands = {
            "cfg": ("tweakreg.cfg", ("--lpar", "--pars", "tweakreg.cfg")),
            "list": ("images.lis", ("--headerlets", "@images.lis")),
            "catfile": ("cats.txt", user),
            "catalog": ("second.cat", user),
            "reference": ("refcat.cat", user),
            "csv": ("refcat.csv", (*user[:-2], "refcat=refcat.csv", user[-1])),
            "ecsv": ("refcat.ecsv", (*user[:-2], "refcat=refcat.ecsv", user[-1])),
            "votable": ("refcat.vot", (*user[:-2], "refcat=refcat.vot", user[-1])),
            "exclusions": ("exclusions.txt", excluding),
            "regions": ("area.reg", excluding),
            "shiftfile": ("shifts.txt", ("--apply", "shifts.txt", "--dry-run")),
            "solution": (
                "tweakreg_solution.ecsv",
                ("--apply", "tweakreg_solution.ecsv", "--dry-run"),
            ),
            "history": (
                "history.txt",
                (*user, "headerlet=yes", "clobber=yes", "attach=no", "history=history.txt"),
            ),
        }
        self.originals = {
            kind: (folder / name).read_bytes() for kind, (name, _) in self.commands.items()
        }
        self.usual = {kind: self._usual(kind) for kind in self.commands}

    def _convert(self):
        from astropy.table import Table

        texts = {
            "images.lis": f"{FIRST}\n# another\n{SECOND}\n",
            "cats.txt": f"{SECOND} second.cat\n",
            "exclusions.txt": f"{SECOND} area.reg\n",
            "history.txt": "Made by hand.\nTwice.\n",
            "area.reg": "# Region file format: DS9 version 4.1\nglobal color=green width=1\nimage\n"
            "circle(20.5, 20, 5) # text={a star}\n-box(60,30,10,20,45)\n"
            "polygon(1,1,10,1,10,10)\nellipse(100,50,4,2,30)\n"
            'fk5;annulus(150.0,30.0,1",2")\n',
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
        rows = [
            line.split()[:2]
            for line in (self.folder / "refcat.cat").read_text().splitlines()
            if line and line[0] != "#"
        ]
        table = Table(rows=[[float(word) for word in row] for row in rows], names=("ra", "dec"))
        table.write(self.folder / "refcat.csv", format="ascii.csv")
        table.write(self.folder / "refcat.ecsv", format="ascii.ecsv")
        table.write(self.folder / "refcat.vot", format="votable")

    def _usual(self, kind):
        outcome = trials.run(self.commands[kind][1], self.folder)
        if said := outcome.complaints(status=(0,)):
            raise RuntimeError(f"{kind}, undamaged: {said}, {outcome.err}")
        return outcome.cpu

    def complaints(self, kind, content, *, cpu=1.0):
        """Run the command that reads a text in place of the original; return what is wrong."""
        path = self.folder / self.commands[kind][0]
        path.write_bytes(content)
        try:
            outcome = self.server.run(self.commands[kind][1], self.folder)
        finally:
            path.write_bytes(self.originals[kind])
        return outcome.complaints(cpu=self.usual[kind] + cpu)


_TYPED = (
    "threshold",
    "searchrad",
    "nclip",
    "fitgeometry",
    "dqbits",
    "xcol",
    "refimage",
    "residplot",
    "wcsname",
    "updatehdr",
    "maxflux",
    "fluxunits",
    "labelsize",
    "imagefindpars.conv_width",
    "conv_width",
    "hdrname",
    "sigma",
    "ylimit",
    "runfile",
    "group",
    "peakmax",
    "kernel",
)


def value_complaints(stage, value, rng, *, cpu=1.0):
    """Give a parameter an odd value on the command line; return what is wrong."""
    word = f"{rng.choice(_TYPED)}={value.replace(chr(0), '')}"
    return stage.server.run(("--lpar", word), stage.folder).complaints(cpu=cpu)


#: How often each kind is tried, of 100: "value" is one on the command line.
SHARES = {
    "cfg": 30,
    "value": 29,
    "list": 10,
    "shiftfile": 5,
    "solution": 6,
    "catfile": 3,
    "catalog": 3,
    "reference": 3,
    "csv": 2,
    "ecsv": 2,
    "votable": 2,
    "exclusions": 1,
    "regions": 3,
    "history": 1,
}


def main():
    """Print what was found; return the exit status."""
    parser = trials.parser(__doc__)
    parser.add_argument("--trials", type=int, default=100_000, help="how many (default: 100000)")
    parser.add_argument(
        "--cpu", type=float, default=1.0, help="seconds that damage may add (default: 1)"
    )
    parser.add_argument("--kind", choices=SHARES, action="append", help="only this one")
    args = parser.parse_args()
    trials.warm()
    rng, tally = random.Random(args.seed), trials.Tally(args.keep)
    kinds = args.kind or list(SHARES)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        kept = Path(folder) / "damaged"
        for trial in trials.numbered(args.trials, args.minutes):
            (kind,) = rng.choices(kinds, [SHARES[kind] for kind in kinds])
            content = mutate(stage.originals.get(kind, b"1.5"), rng)
            if kind == "value":
                said = value_complaints(
                    stage, content.decode(errors="surrogateescape"), rng, cpu=args.cpu
                )
            else:
                said = stage.complaints(kind, content, cpu=args.cpu)
            kept.write_bytes(content)
            tally.add(kind, said, f"trial {trial}", kept)
    return tally.report()


if __name__ == "__main__":
    sys.exit(main())
