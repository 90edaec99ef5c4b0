"""Damage FITS files in every way, and look at what the commands make of them.

A visit of three small images is given with its last image damaged (an association table with
it, for some): bit flips, cards with odd values or control characters, sizes, truncation, gzip
bombs, thousands of HDUs. The commands are an alignment, --headerlets, --apply --dry-run and
--restore --dry-run. After each

- there is no traceback and no warning on the terminal; messages are lines of at most 300
  characters;
- the damaged image costs its own verdict only: the others are aligned, or listed;
- the time and the memory are bounded (--cpu, --megabytes; the address space by RLIMIT_AS).

10,000 trials take about an hour on an idle machine. Exit status 1 means that something was not
so.
"""

from __future__ import annotations

import functools
import gzip
import random
import sys
import tempfile
import zlib
from pathlib import Path

import trials

_BLOCK, _CARD = 2880, 80
# What is damaged is read alike by one process and by several, whose forks would cost most of a run.
ALIGN = ("*flt.fits*", *trials.PLAIN, "writecat=no", "num_cores=1", "solution=sequential")
COMMANDS = {
    "align": ALIGN,
    "list": ("--headerlets", "*flt.fits*"),
    "apply": ("--apply", "tweakreg_solution.ecsv", "--dry-run", "*flt.fits*"),
    "restore": ("--restore", "*flt.fits*", "--dry-run"),
}
_NAMED = (
    "INSTRUME",
    "WCSNAME",
    "EXTVER",
    "EXPSTART",
    "TELESCOP",
    "EXTNAME",
    "CRVAL1",
    "CTYPE1",
    "CD1_1",
    "NEXTEND",
    "ROOTNAME",
    "EXPTIME",
    "CCDGAIN",
    "A_ORDER",
    "A_2_0",
    "CPDIS1",
    "DP1.EXTVER",
    "D2IM1.EXTVER",
    "CRPIX1",
    "FILTER",
    "DETECTOR",
    "DATE-OBS",
    "RADESYS",
)
_SIZES = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT")
_VALUES = (
    "2147483648",
    "-1",
    "0",
    "999",
    "1e999",
    "NaN",
    "'text'",
    "T",
    "''",
    "",
    "'\x07\x1b[31m'",
    "'don''t'",
    "'no end",
    "(1, 2)",
    "1.5.2",
    "99999999999999999999",
    "'\xe9\xff'",
    "1E400",
    "'" + "x" * 66 + "'",
    "- 5",
    "\x00",
    "'a\nb'",
    "None",
    "INDEF",
    "18446744073709551616",
)


def _cards(content, rng):
    """Return the offset of a random card of a random header."""
    starts = [
        at
        for at in range(0, len(content), _BLOCK)
        if content[at : at + 9] in (b"SIMPLE  =", b"XTENSION=")
    ]
    start = rng.choice(starts)
    end = content.find(b"END" + b" " * 77, start)
    return start + _CARD * rng.randrange(max(1, (end - start) // _CARD))


def _find(content, keyword, rng):
    """Return the offset of a card of that keyword, or of any."""
    found, at, wanted = [], 0, keyword.encode().ljust(8)[:8] + b"="
    while (at := content.find(wanted, at)) >= 0:
        found.append(at)
        at += 1
    return rng.choice(found) if found else _cards(content, rng)


def _put(content, at, new):
    return content[:at] + new + content[at + len(new) :]


def flip_bits(content, rng):
    """Flip one to twenty bits of headers."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 20)):
        at = _cards(content, rng) + rng.randrange(_CARD)
        changed[at] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_anywhere(content, rng):
    """Flip bits of headers or data."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 200)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def odd_value(content, rng):
    """Give a keyword that is read a value that it cannot have."""
    keyword = rng.choice(_NAMED)
    at = _find(content, keyword, rng)
    value = rng.choice(_VALUES).encode("latin-1")
    return _put(content, at + 10, value.ljust(_CARD - 10)[: _CARD - 10])


def odd_size(content, rng):
    """Change one of the keywords that say where the next HDU is."""
    at = _find(content, rng.choice(_SIZES), rng)
    value = rng.choice((*_VALUES[:6], "2", "1", "3", "1000000", "-64", "16")).encode()
    return _put(content, at + 10, value.rjust(20).ljust(_CARD - 10)[: _CARD - 10])


def odd_card(content, rng):
    """Replace a card: without a value, by random bytes, by END, by CONTINUE, or twice."""
    at = _cards(content, rng)
    new = rng.choice(
        (
            bytes(rng.randrange(256) for _ in range(_CARD)),
            b"END".ljust(_CARD),
            b"=" * _CARD,
            b"CONTINUE  'and so on&'".ljust(_CARD),
            b"HIERARCH ESO X Y = 'z'".ljust(_CARD),
            b"XTENSION= 'NOTHING '".ljust(_CARD),
            b"SIMPLE  =                    F".ljust(_CARD),
            content[_cards(content, rng) :][:_CARD],
            b"\x00" * _CARD,
            b"COMMENT \x1b]0;title\x07".ljust(_CARD),
        )
    )
    return _put(content, at, new)


def spoil_xtension(content, rng):
    """Damage the first card of an extension."""
    at = _find(content, "XTENSION", rng)
    return _put(content, at + rng.randrange(20), bytes([rng.randrange(256)]))


def truncate(content, rng):
    """Cut the end, or a piece from the middle."""
    if rng.random() < 0.5:
        return content[: rng.randrange(len(content))]
    at = rng.randrange(len(content))
    return content[:at] + content[at + rng.choice((1, _CARD, _BLOCK, 4 * _BLOCK)) :]


def insert(content, rng):
    """Add bytes in the middle or at the end."""
    at = rng.choice((len(content), rng.randrange(len(content)), _BLOCK))
    return (
        content[:at] + bytes(rng.randrange(256) for _ in range(rng.randint(1, 3000))) + content[at:]
    )


def header(*cards):
    """Return a header of the given cards, padded."""
    text = "".join(card.ljust(_CARD) for card in (*cards, "END")).encode("latin-1")
    return text.ljust(-(-len(text) // _BLOCK) * _BLOCK)


def many_hdus(content, rng):
    """Add thousands of empty extensions."""
    return _with_hdus(content, rng.choice(("SCI", "X")), rng.choice((1000, 5000)))


def _with_hdus(content, name, number):
    one = header(
        "XTENSION= 'IMAGE   '",
        "BITPIX  = 8",
        "NAXIS   = 0",
        "PCOUNT  = 0",
        "GCOUNT  = 1",
        f"EXTNAME = '{name}'",
    )
    return content + one * number


def huge_axes(content, rng):
    """Make a small file that says it is huge."""
    axes = rng.choice(([2147483648], [100_000, 100_000], [2**31, 2**31], [1] * 999, [2**62, 4]))
    number = rng.choice((len(axes), 2147483648)) if len(axes) == 1 else len(axes)
    cards = [
        f"NAXIS{index} = {size}" if index > 99 else f"{f'NAXIS{index}':8s}= {size}"
        for index, size in enumerate(axes, 1)
    ]
    return header("SIMPLE  = T", "BITPIX  = -32", f"NAXIS   = {number}", *cards)


def end_is_missing(content, rng):
    """Take an END card away."""
    at = content.find(b"END" + b" " * 77)
    return _put(content, at, b" " * _CARD)


def bomb(content, rng):
    """Make a small gzip file that holds gigabytes: an image of zeros, or nothing but zeros."""
    return _bomb(rng.choice((1, 3)), rng.random() < 0.5)


@functools.cache
def _bomb(gigabytes, with_header):
    packer = zlib.compressobj(9, wbits=31)
    cards = (
        "SIMPLE  = T",
        "BITPIX  = -32",
        "NAXIS   = 2",
        "NAXIS1  = 16384",
        f"NAXIS2  = {gigabytes * 16384}",
    )
    pieces = [packer.compress(header(*cards) if with_header else b"")]
    zeros = bytes(1 << 24)
    pieces += [packer.compress(zeros) for _ in range(64 * gigabytes)]
    return b"".join([*pieces, packer.flush()])


def packed(content, rng):
    """Compress, and damage what is compressed."""
    changed = bytearray(gzip.compress(content, 1))
    if rng.random() < 0.5:
        return bytes(changed[: rng.randrange(len(changed))])
    for _ in range(rng.randint(1, 5)):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


#: Ways to damage an image, with how often each is tried.
MUTATIONS = {
    flip_bits: 20,
    flip_anywhere: 5,
    odd_value: 30,
    odd_size: 12,
    odd_card: 12,
    spoil_xtension: 4,
    truncate: 8,
    insert: 3,
    huge_axes: 2,
    end_is_missing: 1,
    packed: 3,
}
RARE = {many_hdus: 1, bomb: 1}  # they take seconds; one trial in a hundred
SPECIAL = {
    "NAXIS = 2147483648": lambda c: header("SIMPLE  = T", "BITPIX  = -32", "NAXIS   = 2147483648"),
    "NAXIS1 = NAXIS2 = 100000": lambda c: header(
        "SIMPLE  = T", "BITPIX  = -32", "NAXIS   = 2", "NAXIS1  = 100000", "NAXIS2  = 100000"
    ),
    **{
        f"{name}: control character": (
            lambda c, name=name: _put(
                c, _find(c, name, random.Random(0)) + 10, b"'A\x07B\x1b[31m'".ljust(30)
            )
        )
        for name in ("INSTRUME", "WCSNAME", "EXTVER", "EXPSTART", "TELESCOP")
    },
    **{
        f"{name}: no value that can be read": (
            lambda c, name=name: _put(
                c, _find(c, name, random.Random(0)) + 10, b"= 'x 1.2.3 ''".ljust(30)
            )
        )
        for name in ("INSTRUME", "WCSNAME", "EXTVER", "EXPSTART", "TELESCOP")
    },
    **{
        f"{name} = {value}": (
            lambda c, name=name, value=value: _put(
                c, _find(c, name, random.Random(0)) + 10, value.encode().rjust(20).ljust(30)
            )
        )
        for name, value in (("CD1_1", "1E999"), ("RADESYS", "1E400"), ("EXTVER", "18446744073709551616"))
    },
    "XTENSION: damaged": lambda c: c.replace(b"XTENSION= 'IMAGE", b"XTENSION= 'IM\x00GE", 1),
    "thousands of HDUs": lambda c: _with_hdus(c, "SCI", 5000),
    "gzip bomb": lambda c: _bomb(1, True),
    "gzip bomb without a header": lambda c: _bomb(1, False),
    "a byte that is not ASCII in a comment": lambda c: _put(
        c, _find(c, "TARGNAME", random.Random(0)) + 10, b"'caf\xe9'".ljust(30)
    ),
}


class Stage:
    """A visit with its solution file, and the last image's content.

    Parameters
    ----------
    folder : Path
        Where it is made.
    updated : bool
        Whether the images have the solution, and an archived WCS to restore.
    """

    def __init__(self, folder, updated=False):
        self.folder = folder
        self.server = trials.Server(seconds=30, megabytes=1400)
        self.names = trials.make_visit(folder)
        outcome = trials.run([*ALIGN, *["updatehdr=yes"] * updated], folder)
        if outcome.status:
            raise RuntimeError(f"the images do not align: {outcome.out}{outcome.err}")
        self.path = folder / self.names[-1]
        self.content = self.path.read_bytes()

    def damage(self, content):
        """Put a damaged image in the place of the last."""
        packed_path = self.path.with_name(f"{self.path.name}.gz")
        for path in (self.path, packed_path):
            path.unlink(missing_ok=True)
        path = packed_path if content[:2] == b"\x1f\x8b" else self.path
        path.write_bytes(content)
        return path

    def complaints(self, command, *, cpu=5.0, megabytes=400.0):
        """Run a command; return what is wrong."""
        outcome = self.server.run(COMMANDS[command], self.folder)
        said = outcome.complaints(status=(0, 1, 2), cpu=cpu, megabytes=megabytes)
        text = outcome.out + outcome.err
        if said:
            return said
        if command == "align":
            good = [line for line in outcome.out.splitlines() if " aligned " in line]
            if not any(line.lstrip().startswith(self.names[1]) for line in good):
                said.append(f"the others do not go on: {outcome.err.strip()[:150]}")
        elif command == "list" and self.names[1] not in outcome.out:
            said.append(f"the others are not listed: {outcome.err.strip()[:150]}")
        if outcome.status and self.names[-1] not in text:
            said.append(f"the image is not named: {text.strip()[:150]}")
        return said


def association(stage, rng):
    """Damage an association table that names the images; return complaints."""
    from astropy.io import fits

    names = [name[:9] for name in stage.names]
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("MEMNAME", "14A", array=names),
            fits.Column("MEMTYPE", "14A", array=["EXP-DTH"] * 3),
            fits.Column("MEMPRSNT", "L", array=[True] * 3),
        ],
        name="ASN",
    )
    path = stage.folder / "visit_asn.fits"
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    content = path.read_bytes()
    if rng.random() < 0.4:
        keyword = rng.choice(
            ("TTYPE1", "TFORM1", "TTYPE2", "TFORM2", "TFIELDS", "NAXIS1", "NAXIS2")
        )
        value = rng.choice((*_VALUES, "'14D'", "'99999999A'", "'1PE(5)'", "'1QA'")).encode(
            "latin-1"
        )
        content = _put(content, _find(content, keyword, rng) + 10, value.ljust(70)[:70])
    else:
        content = rng.choice((flip_bits, flip_anywhere, odd_card, truncate, odd_size))(content, rng)
    path.write_bytes(content)
    outcome = stage.server.run((path.name, *ALIGN[1:]), stage.folder)
    return outcome.complaints(cpu=5.0, megabytes=400.0), path


def main():
    """Print what was found; return the exit status."""
    parser = trials.parser(__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="how many (default: 10000)")
    parser.add_argument(
        "--cpu", type=float, default=5.0, help="seconds a trial may take (default: 5)"
    )
    parser.add_argument(
        "--megabytes", type=float, default=400.0, help="memory that a trial may take (default: 400)"
    )
    args = parser.parse_args()
    trials.warm()
    rng, tally = random.Random(args.seed), trials.Tally(args.keep)
    limits = {"cpu": args.cpu, "megabytes": args.megabytes}
    with tempfile.TemporaryDirectory() as folder:
        new, updated = Stage(Path(folder) / "new"), Stage(Path(folder) / "updated", updated=True)
        for name, change in SPECIAL.items():
            for command in COMMANDS:
                stage = updated if command == "restore" else new
                path = stage.damage(change(stage.content))
                tally.add(f"special, {command}", stage.complaints(command, **limits), name, path)
        for trial in trials.numbered(args.trials, args.minutes):
            ways = RARE if trial % 100 == 99 else MUTATIONS
            if trial % 20 == 10:
                new.damage(new.content)
                said, path = association(new, rng)
                tally.add("association", said, f"trial {trial}", path)
                continue
            (mutate,) = rng.choices(list(ways), list(ways.values()))
            (command,) = rng.choices(list(COMMANDS), [4, 3, 2, 1])
            stage = updated if command == "restore" else new
            path = stage.damage(mutate(stage.content, rng))
            tally.add(
                command,
                stage.complaints(command, **limits),
                f"trial {trial}, {mutate.__name__}",
                path,
            )
    return tally.report()


if __name__ == "__main__":
    sys.exit(main())
