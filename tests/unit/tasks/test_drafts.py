"""New files that are begun before all is known: they end as if written at once, or are not left."""

import os
import shutil
import signal
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagereg.demo import simulate_visit
from imagereg.files import Claim
from imagereg.files.atomic import beside
from imagereg.files.images.rewrite import Draft, Plan
from imagereg.tasks.parallel import Background
from imagereg.tasks.writing.drafts import Drafts
from imagereg.tweakreg import TweakReg

OLD = bytes(range(256)) * 4
SPANS = st.tuples(st.integers(0, 500), st.integers(501, 1024))
PIECES = st.lists(st.binary(max_size=40) | SPANS, max_size=6)


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.fits").write_bytes(OLD)
    return str(tmp_path / "a.fits")


def content(pieces):
    return b"".join(piece if isinstance(piece, bytes) else OLD[slice(*piece)] for piece in pieces)


@settings(max_examples=200)
@given(first=PIECES, last=PIECES, same=st.integers(0, 6))
def test_a_draft_ends_as_the_plan_has_it(first, last, same, tmp_path_factory):
    """Whatever was planned before, up to a piece in common, of another length or of the same."""
    path = str(tmp_path_factory.mktemp("draft") / "a.fits")
    with open(path, "wb") as file:
        file.write(OLD)
    last = [p[::-1] if isinstance(p, bytes) else p for p in first[:same]] + last
    with beside(path) as file:
        Plan(path, first).write_draft(file.name)
        plan = Plan(path, last)
        plan.carry_out(claim=None, draft=Draft(file, Plan(path, first).layout))
    with open(path, "rb") as file:
        assert file.read() == content(last)
    assert os.listdir(os.path.dirname(path)) == ["a.fits"]


def test_what_is_not_written_again_stays_in_the_draft(path):
    pieces = [b"head", (0, 600), b"more", (600, 1024)]
    with beside(path) as file:
        Plan(path, pieces).write_draft(file.name)
        draft = Draft(file, Plan(path, pieces).layout)
        assert draft.rewritten([b"HEAD", (0, 600), b"MORE", (600, 1024)]) == []
        assert draft.file.name != path


@pytest.mark.parametrize("killed", [False, True])
def test_drafts_are_used_once_or_removed(path, killed, tmp_path, alone):
    def plan_of(_):
        if killed:
            os.kill(os.getpid(), signal.SIGKILL)
        return Plan(path, [b"expected", (8, 1024)])

    with Claim([path]) as claim, Drafts() as drafts:
        drafts.begin([path], plan_of, 2)
        assert len(list(tmp_path.iterdir())) == 2
        wait_for_first(drafts)
        assert (drafts.of(path) is None) == killed
        assert drafts.of("another") is None
        Plan(path, [b"measured", (8, 1024)]).carry_out(claim=claim, draft=drafts.of(path))
    assert (tmp_path / "a.fits").read_bytes() == b"measured" + OLD[8:]
    assert os.listdir(tmp_path) == ["a.fits"]


def until(condition):
    """Wait until something is so."""
    patience = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < patience
        time.sleep(0.001)


def n_begun(drafts):
    """Return how many drafts have been begun; each takes a number of four bytes."""
    return os.lseek(drafts._background._places, 0, os.SEEK_CUR) // 4


def wait_for_first(drafts):
    """Wait until the first draft is in work, so that it is finished."""
    until(lambda: n_begun(drafts) > 0)


def test_a_draft_of_a_full_disk_takes_no_room(path, tmp_path, alone, monkeypatch):
    def fail(plan, name):
        with open(name, "wb") as file:
            file.write(bytes(100))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Plan, "write_draft", fail)
    with Drafts() as drafts:
        drafts.begin([path], lambda _: Plan(path, [b"new"]), 2)
        wait_for_first(drafts)
        assert drafts.of(path) is None
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) == len(OLD)
    assert os.listdir(tmp_path) == ["a.fits"]


def test_no_draft_where_room_is_scarce(path, tmp_path, alone, monkeypatch):
    usage = shutil.disk_usage(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * len(OLD)))
    with Drafts() as drafts:
        drafts.begin([path], lambda _: Plan(path, [b"new"]), 2)
        assert os.listdir(tmp_path) == ["a.fits"]
        assert drafts.of(path) is None


def test_no_draft_of_a_compressed_file(tmp_path, alone):
    path = tmp_path / "a.fits.gz"
    path.write_bytes(b"\x1f\x8b")
    with Drafts() as drafts:
        drafts.begin([str(path)], lambda _: Plan(str(path), [b"new"]), 2)
        assert drafts.of(str(path)) is None
        assert os.listdir(tmp_path) == ["a.fits.gz"]


def test_only_as_many_drafts_as_files_are_written_at_a_time(tmp_path, alone):
    """The others would need room on the disk, which a run without drafts does not."""
    paths = [str(tmp_path / f"{number}.fits") for number in range(9)]
    for path in paths:
        shutil.copy(__file__, path)
    with Drafts() as drafts:
        drafts.begin(paths, lambda path: Plan(path, [(0, 10)]), 2)
        assert len(list(tmp_path.iterdir())) == 9 + 4
    assert len(list(tmp_path.iterdir())) == 9


def test_work_in_the_background_ends_with_the_piece_in_work(tmp_path, alone):
    """What is done is returned in order, and the rest is not begun."""
    go = tmp_path / "go"

    def wait(number):
        (tmp_path / f"begun {number}").touch()
        until(lambda: not number or go.exists())
        if number == 1:
            raise ValueError
        return number, os.nice(0)

    with Background(wait, range(9), 2) as background:
        until((tmp_path / "begun 1").exists)
        background.end()
        go.touch()
        assert background.results() == [(0, 10)] + 8 * [None]
        assert background.results()[0] == (0, 10)
    assert not (tmp_path / "begun 2").exists()


@pytest.mark.parametrize(("cores", "number"), [(1, 3), (2, 0)])
def test_nothing_is_done_in_the_background_on_one_core(cores, number, alone):
    with Background(lambda item: item, range(number), cores) as background:
        background.end()
        assert background.results() == number * [None]


def test_headers_are_all_that_is_left_to_be_written(tmp_path, alone, monkeypatch):
    """Those of a run have the layout that was expected, and the bytes that one core writes."""
    monkeypatch.chdir(tmp_path)
    simulate_visit(tmp_path, n_exposures=3, n_stars=80, chip_shape=(256, 256), n_cosmic_rays=0)
    left = []
    plain = Draft.rewritten

    def watched(draft, pieces):
        left.append(plain(draft, pieces))
        return left[-1]

    monkeypatch.setattr(Draft, "rewritten", watched)
    plain_end = Drafts.end

    def patient(drafts):  # else the machine decides how many there are
        until(lambda: n_begun(drafts) == 3)
        plain_end(drafts)

    written = []
    for cores in (1, 2):
        folder = tmp_path / str(cores)
        folder.mkdir()
        for name in sorted(tmp_path.glob("*_fl?.fits")):
            shutil.copy(name, folder)
        monkeypatch.setattr(Drafts, "end", plain_end if cores == 1 else patient)
        TweakReg(f"{folder}/*_fl?.fits", updatehdr=True, interactive=False, threshold=20, see2dplot=False,
                 residplot="No plot", num_cores=cores)
        written.append([file.read_bytes() for file in sorted(folder.glob("*.fits"))])
        assert not list(folder.glob(".*"))
    assert left == [[], [], []]
    assert written[0] == written[1]
