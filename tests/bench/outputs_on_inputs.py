"""Let every output of tweakreg fall on every file that it reads.

For each output (outwcs, outshifts, runfile, hdrfile, catalogs, plots, solution file, geomap
database, headerlets) and each file read (images, catfile and its catalogs, refcat, refimage,
exclusions and their region files, an @list, the history file, a .cfg) the output has the name
of the input, or is a symbolic link to it, or a hard link. The run must be refused, with exit
status 2 and one line that names the file, and nothing in the folder may have changed. About 400
runs.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import trials

FIRST, SECOND, THIRD = (f"jdemo1a{letter}q_flt" for letter in "abc")
#: What is written: the name of the file, and the words that make the run write it.
OUTPUTS = {
    "outwcs": ("out_wcs.fits", ("shiftfile=yes", "outwcs=out_wcs.fits")),
    "outshifts": ("out_shifts.txt", ("shiftfile=yes", "outshifts=out_shifts.txt")),
    "runfile": ("out_run.log", ("runfile=out_run.log",)),
    "hdrfile": ("out_hdr.fits", ("headerlet=yes", "hdrfile=out_hdr.fits", "clobber=yes")),
    "headerlet": (f"{SECOND[:9]}_hlet.fits", ("headerlet=yes", "clobber=yes")),
    "chip catalog": (f"{SECOND}_sci1_xy_catalog.coo", ("writecat=yes",)),
    "sky catalog": (f"{SECOND}_sky_catalog.coo", ("writecat=yes",)),
    "match list": (f"{SECOND}_xy_catalog.match", ("writecat=yes",)),
    "fit list": (f"{SECOND}_catalog_fit.match", ("writecat=yes",)),
    "histogram": (f"hist2d_{SECOND}.png", ("see2dplot=yes",)),
    "residuals": (f"residuals_{SECOND}.png", ("residplot=both",)),
    "vectors": (f"vector_{SECOND}.png", ("residplot=both",)),
    "solution file": ("tweakreg_solution.ecsv", ()),
    "geomap database": ("tweakreg_geomap.db", ("shiftfile=yes",)),
    "grown reference": (
        "cumulative_sky_refcat_refcat.cat.coo",
        ("expand_refcat=yes", "writecat=yes"),
    ),
}
#: What is read, by its usual name.
INPUTS = {
    "image": f"{SECOND}.fits",
    "catfile": "cats.txt",
    "catalog": "second_1.cat",
    "refcat": "refcat.cat",
    "refimage": f"{FIRST}.fits",
    "exclusions": "exclusions.txt",
    "regions": "area.reg",
    "list": "images.lis",
    "history": "history.txt",
    "parameters": "my.cfg",
}
#: A catalog of the user need not stop a run: it may as well be kept in place of the one written.
_MAY_BE_LEFT = ("chip catalog", "catalog")
RELATIONS = ("name", "symbolic link", "hard link")
_QUIET = {
    "writecat": "no",
    "see2dplot": "no",
    "residplot": "No plot",
    "headerlet": "no",
    "interactive": "no",
    "minobj": "10",
    "updatehdr": "yes",
}
_CFG = """_task_name_ = imagefindpars
threshold = 10.0
"""


class Stage:
    """A folder with one of every file that tweakreg reads."""

    def __init__(self, folder):
        self.folder = folder
        self.original = folder / "original"
        trials.make_visit(self.original, n_chips=1)
        outcome = trials.run([f"{FIRST}.fits", f"{SECOND}.fits", *trials.PLAIN], self.original)
        if outcome.status:
            raise RuntimeError(outcome.err)
        os.rename(self.original / f"{SECOND}_sci1_xy_catalog.coo", self.original / "second_1.cat")
        os.rename(self.original / f"{FIRST}_sky_catalog.coo", self.original / "refcat.cat")
        for path in self.original.iterdir():
            if path.name not in (f"{FIRST}.fits", f"{SECOND}.fits", "second_1.cat", "refcat.cat"):
                path.unlink()
        texts = {
            "cats.txt": f"{SECOND}.fits second_1.cat\n",
            "exclusions.txt": f"{SECOND}.fits area.reg\n",
            "area.reg": "image\ncircle(20, 20, 5)\n",
            "images.lis": f"{SECOND}.fits\n",
            "history.txt": "It was made by hand.\n",
            "my.cfg": _CFG,
        }
        for name, text in texts.items():
            (self.original / name).write_text(text)

    def words(self, output, source, names):
        """Return the command that writes an output and reads an input of the given names."""
        values = dict(_QUIET)
        values |= {"catfile": names["catfile"], "exclusions": names["exclusions"]}
        values["refimage" if source == "refimage" else "refcat"] = names[
            "refimage" if source == "refimage" else "refcat"
        ]
        if source == "history":
            values |= {"headerlet": "yes", "clobber": "yes", "history": names["history"]}
        values |= dict(word.split("=", 1) for word in OUTPUTS[output][1])
        return [
            f"@{names['list']}",
            "--pars",
            names["parameters"],
            *(f"{name}={value}" for name, value in values.items()),
        ]

    def run(self, output, source, relation):
        """Run one case; return complaints."""
        work = self.folder / "work"
        trials.fresh(work, self.original)
        names = dict(INPUTS)
        target = OUTPUTS[output][0]
        if relation == "name":
            os.rename(work / names[source], work / target)
            old, names[source] = names[source], target
            for path in (work / names[kind] for kind in ("catfile", "exclusions", "list")):
                path.write_text(path.read_text().replace(old, target))
        elif relation == "symbolic link":
            os.symlink(names[source], work / target)
        else:
            os.link(work / names[source], work / target)
        before = _state(work)
        outcome = trials.run(self.words(output, source, names), work)
        after = _state(work)
        left_alone = (output, source) == _MAY_BE_LEFT and outcome.status == 0
        said = outcome.complaints(status=(0,) if left_alone else (2,))
        lost = [name for name, state in before.items() if after.get(name, (None,))[0] != state[0]]
        if names[source] in lost:
            said.insert(0, "the input is lost")
        elif left_alone:
            pass
        elif outcome.status != 2:
            said.insert(0, "not refused")
        elif before != after:
            said.append(f"changed {', '.join(sorted(before.keys() ^ after.keys()) or lost)}")
        if outcome.status == 2 and target not in outcome.err and names[source] not in outcome.err:
            said.append(f"names neither: {outcome.err.strip()[:100]}")
        return said


def _state(folder):
    """Return the content and the inode of each file."""
    return {
        path.name: (trials.digest(path) if path.exists() else None, path.lstat().st_ino)
        for path in folder.iterdir()
    }


def cases():
    """Return all cases as (output, input, relation)."""
    return [
        (output, source, relation)
        for output in OUTPUTS
        for source in INPUTS
        for relation in RELATIONS
        if _possible(output, source, relation)
    ]


def _possible(output, source, relation):
    """Whether there is such a case: the name of an output may follow from that of the input."""
    if output == "grown reference":
        return source != "refimage" and (source, relation) != ("refcat", "name")
    return (source, relation) != ("image", "name") or SECOND[:9] not in OUTPUTS[output][0]


def main():
    """Print what was found; return the exit status."""
    parser = trials.parser(__doc__)
    parser.add_argument("--output", choices=OUTPUTS, action="append", help="only this output")
    parser.add_argument("--input", choices=INPUTS, action="append", help="only this input")
    parser.add_argument("--relation", choices=RELATIONS, action="append", help="only this relation")
    args = parser.parse_args()
    trials.warm()
    tally = trials.Tally(examples=30)
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder))
        for output, source, relation in cases():
            if (
                output in (args.output or OUTPUTS)
                and source in (args.input or INPUTS)
                and relation in (args.relation or RELATIONS)
            ):
                tally.add(
                    relation, stage.run(output, source, relation)[:1], f"{output} on {source}"
                )
    return tally.report()


if __name__ == "__main__":
    sys.exit(main())
