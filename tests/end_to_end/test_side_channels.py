"""The log, the screen, plots and odd names never change what becomes of the images.

Some cases of tests/bench/faults.py, which lets every write fail.
"""

import errno
import os
import subprocess
import sys

import faults
import pytest
import trials
from astropy.io import fits

QUIET = (*trials.PLAIN, "writecat=no")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    trials.warm()
    return faults.Stage(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def work(stage, tmp_path):
    """Make a folder with the images."""
    trials.fresh(tmp_path / "work", stage.folder / "new")
    return tmp_path / "work"


def test_full_standard_output(stage):
    assert stage.complaints(stage.run(faults.full_output), side_channel=True) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("first", [1, 4])
def test_log_that_can_not_be_written(stage, first, number):
    outcome = stage.run(faults.Disk(number, first, 10**9, only=faults.LOG).mount)
    assert stage.complaints(outcome, side_channel=True) == []


def test_log_on_a_full_disk(stage):
    outcome = stage.run(None, [*faults.WORDS, "runfile=/dev/full"])
    assert stage.complaints(outcome, side_channel=True) == []


@pytest.mark.parametrize("part", [0.2, 0.6, 0.9])
def test_full_disk(stage, part):
    first = max(1, int(part * stage.count()))
    assert stage.complaints(stage.run(faults.Disk(errno.ENOSPC, first, 10**9).mount)) == []


@pytest.mark.parametrize("size", [10_000, 400_000])
def test_limited_size(stage, size):
    assert stage.complaints(stage.run(faults.limited(size))) == []


def no_plots():
    """Let every plot fail."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def fail(*_, **__):
        raise RuntimeError("no fonts")

    FigureCanvasAgg.draw = fail


def test_plots_that_can_not_be_drawn(stage):
    outcome = stage.run(no_plots)
    assert stage.complaints(outcome, side_channel=True) == []


def test_matplotlibrc_of_the_folder_is_not_read(work):
    (work / "matplotlibrc").write_text("savefig.dpi: 3\nno.such.name: 5\nfont.size: nonsense\n")
    words = (
        "*flt.fits",
        *QUIET[:2],
        "interactive=no",
        "writecat=no",
        "see2dplot=no",
        "residplot=vector",
    )
    # A process of its own: matplotlib reads its settings when it is imported.
    done = subprocess.run(
        [sys.executable, "-m", "imagereg", *words], cwd=work, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (work / "vector_jdemo1abq_flt.png").stat().st_size > 5000  # 3 dots per inch make a stamp


ODD_NAMES = {
    "blank": "my first_flt.fits",
    "two blanks": "a  b_flt.fits",
    "newline": "a\nb_flt.fits",
    "hash": "#a_flt.fits",
    "quote": "a'b\"_flt.fits",
    "not UTF-8": "a\udcff_flt.fits",
    "escape": "a\x1b[31mb_flt.fits",
    "brackets": "a[1]_flt.fits",
}


@pytest.mark.parametrize("kind", ODD_NAMES)
def test_odd_file_name(work, kind):
    """What was written is read back: the solution is applied to the file of that name."""
    name = ODD_NAMES[kind]
    names = ["jdemo1aaq_flt.fits", name]
    os.rename(work / "jdemo1abq_flt.fits", work / name)
    (work / "jdemo1acq_flt.fits").unlink()
    outcome = trials.run((*names, *QUIET, "shiftfile=yes"), work)
    assert outcome.complaints(status=(0,)) == []
    outcome = trials.run(("--apply", "shifts.txt", "--dry-run"), work)
    assert (outcome.err, outcome.complaints(status=(0,))) == ("", [])
    outcome = trials.run(("--apply", "tweakreg_solution.ecsv"), work)
    assert (outcome.err, outcome.complaints(status=(0,))) == ("", [])
    assert fits.getheader(work / name, ("SCI", 1))["WCSNAME"] == "TWEAK"


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            ("--headerlets", "*flt.fits"),
            id="list"        ),
        pytest.param(("*flt.fits", *QUIET), id="align"),
    ],
)
def test_escapes_in_headers_are_shown_escaped(work, words):
    path = work / "jdemo1abq_flt.fits"
    content = path.read_bytes()
    at = content.index(b"WCSNAME =")
    path.write_bytes(content[:at] + b"WCSNAME = 'A\x1b]0;own\x07B'".ljust(80) + content[at + 80 :])
    outcome = trials.run(words, work)
    assert outcome.complaints() == []


def test_unknown_task_in_clpars(work):
    (work / "pars.txt").write_text(
        'tweakreg.input = "*flt.fits"\nother.threshold = 5\nimagefindpars.threshold = 10\n'
    )
    outcome = trials.run(("--clpars", "pars.txt"), work)
    assert outcome.complaints() == []
    assert outcome.status == 0 or "other" in outcome.err


def test_images_are_whole_where_the_folder_is_full(stage):
    """The rename fails, of each file in turn."""

    def prepare():
        plain = os.replace

        def fail(source, target, **named):
            if os.path.basename(target) == stage.names[1]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return plain(source, target, **named)

        os.replace = fail

    outcome = stage.run(prepare)
    assert stage.complaints(outcome) == []
    assert stage.names[1] in outcome.err
    assert trials.digest(stage.work / stage.names[1]) == stage.old[stage.names[1]]
