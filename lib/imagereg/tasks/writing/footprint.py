"""The files that a run reads and those that it writes, compared before any work is done."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from imagereg.catalogs import queries
from imagereg.errors import InputError
from imagereg.files import InputFile, expand_input, lists, root_name
from imagereg.files.images import instruments
from imagereg.parameters import ParameterSet
from imagereg.tasks.solutions import headerlets

CHIP_CATALOG = "the chip catalog"
CATALOG_LIST = "the list of chip catalogs"

_CATALOGS = ("sky_catalog.coo", "refxy_catalog.coo", "xy_catalog.match", "catalog_fit.match")

#: Name of a file, and what it is in a sentence.
Role = tuple[str, str]


def files_read(images: Sequence[InputFile], task: ParameterSet,
               *findings: ParameterSet) -> list[Role]:
    """Return all files that a run reads, those that lists and tables name included.

    Parameters
    ----------
    images : sequence of InputFile
        The images to align.
    task : ParameterSet
        Of tweakreg.
    *findings : ParameterSet
        Of imagefindpars and refimagefindpars.
    """
    found = [role for image in images for role in _of_image(image, "the image")]
    found += [(name, "the catalog") for name in _user_catalogs(images, task)]
    found += [(name, "the regions") for name in _listed(task.exclusions)]
    with contextlib.suppress(InputError):  # measuring the reference says what is wrong with it
        for image in expand_input(task.refimage) if task.refimage else ():
            found += _of_image(image, "refimage")
    found += [(task[name], name) for name in ("catfile", "exclusions", "psf", "refcat")]
    if task.headerlet:
        found.append((task.history.strip(), "the history"))
    found += [(finding.sexconfig, "sexconfig") for finding in findings]
    return [(name, what) for name, what in found if name and os.path.isfile(name)]


def _of_image(image, what):
    """Yield the files of an image: itself, its flags and weights, the lists that led to it."""
    yield image.path, what
    yield instruments.quality_file(image.path) or "", "the data quality file"
    yield image.ivm or "", "the inverse-variance map"
    for name in image.named_in:
        yield name, "the list"


def user_files(images: Sequence[InputFile], task: ParameterSet) -> set[object]:
    """Return the identities of catalogs of the user, and of the lists that name them.

    A run that would write such a file leaves it as it is: what an earlier run wrote is often given
    to the next one.
    """
    lists_given = [name for image in images for name in image.named_in if image.catalogs]
    names = [*_user_catalogs(images, task), *lists_given, *filter(None, [task.catfile])]
    return set(map(file_identity, names))


def _user_catalogs(images, task):
    """Return the names of the catalogs that the catfile names, or an @list beside the images."""
    beside_images = [name for image in images for name in image.catalogs if name]
    return beside_images or _listed(task.catfile)


def _listed(name):
    """Return the files that a list of files for chips names; none where it can't be read."""
    with contextlib.suppress(InputError):  # which reading it for the images says
        return lists.files_named(name) if name else []
    return []


def files_written(images: Sequence[InputFile], task: ParameterSet, *,
                  dry_run: bool = False) -> list[Role]:
    """Return all files that a run may make, but for the images that it updates."""
    found = files_of_run(task, dry_run=dry_run)
    if writes_catalogs(task):
        found.append((catalog_list(root_name(images[0].path)), CATALOG_LIST))
    for image in images:
        found += _catalogs_written(image, task)
        found += _plots_written(image, task)
        if task.headerlet:
            found.append((headerlets.file_name(image.path, task.hdrfile), "the headerlet"))
    return found


def files_of_run(task: ParameterSet, *, dry_run: bool = False) -> list[Role]:
    """Return the files that a run makes once, and not for each image."""
    found = [(task.runfile, "runfile")] if task.runfile else []
    if not dry_run:
        found.append((product(task, "solution.ecsv"), "the solution file"))
        if writes_psf(task):
            found.append((task.psf, "psf"))
        if survey_of(task):
            found.append((star_table(task), "the table of stars"))
    if task.report:
        found.append((product(task, "report.html"), "the page"))
    if task.shiftfile:
        found += [(task.outshifts, "outshifts"), (task.outwcs, "outwcs"),
                  (product(task, "geomap.db"), "the geomap database")]
    return found


def writes_psf(task: ParameterSet) -> bool:
    """Whether point-spread functions are to be written, and not read."""
    return bool(task.psf) and not os.path.exists(task.psf)


def chip_catalog(root: str, number: int) -> str:
    """Name of the list of sources of a chip, numbered from 1."""
    return f"{root}_sci{number}_xy_catalog.coo"


def catalog_list(root: str) -> str:
    """Name of the list of all chip catalogs of a run, by the root of its first image."""
    return f"{root}_xy_catfile.list"


def grown_reference(name: str, ending: str) -> str:
    """Name of the reference catalog that has grown: ``.coo``, and ``.ecsv`` in full precision."""
    return f"cumulative_sky_refcat_{root_name(name)}{ending}"


def product(task: ParameterSet, ending: str) -> str:
    """Name of a file that belongs to a run: that of its log with another ending."""
    return f"{os.path.splitext(task.runfile)[0] or 'tweakreg'}_{ending}"


def survey_of(task: ParameterSet) -> str | None:
    """Return the survey that `refcat` names; None where there is a file of that name, or none."""
    return None if os.path.exists(task.refcat) else queries.survey_named(task.refcat)


def star_table(task: ParameterSet) -> str:
    """Name of the table with the stars of the survey that `refcat` names; '' where none."""
    survey = survey_of(task)
    return product(task, f"{survey}.ecsv") if survey else ""


def writes_catalogs(task: ParameterSet) -> bool:
    """Whether the lists of sources and matches are to stay after a run."""
    return task.writecat and not task.clean


def _roots(image: InputFile) -> Iterator[str]:
    """Yield the roots of output names: of the file, and of each exposure that it may hold."""
    yield root_name(image.path)
    for number in range(1, len(image.wcs_names) + 1):
        yield root_name(f"{image.path}[sci,{number}]")


def _catalogs_written(image, task):
    """Yield the lists that are made of an image."""
    if not writes_catalogs(task):
        return
    for root in _roots(image):
        for number in range(1, len(image.wcs_names) + 1):
            yield chip_catalog(root, number), CHIP_CATALOG
        for ending in _CATALOGS:
            yield f"{root}_{ending}", "the catalog"
    if task.expand_refcat:
        for ending in (".coo", ".ecsv"):
            name = task.refcat or task.refimage or image.path
            yield grown_reference(name, ending), "the grown reference"


def _plots_written(image, task):
    """Yield the plots that are made of an image."""
    kinds = ["hist2d"] if task.see2dplot else []
    if task.residplot in ("residuals", "both"):
        kinds.append("residuals")
    if task.residplot in ("vector", "both"):
        kinds.append("vector")
    for root in _roots(image):
        for kind in kinds:
            yield f"{kind}_{root}.png", "the plot"


def check_apart(read: Sequence[Role], written: Sequence[Role]) -> None:
    """Check that no file that is written is one that is read, nor two of them the same.

    Files are told by device and inode, so that links count, symbolic ones and hard ones.

    Raises
    ------
    InputError
        One is; the words name both.
    """
    sources = {file_identity(name): (name, what) for name, what in reversed(read)}
    seen: dict[object, Role] = {}
    for name, what in written:
        if os.path.exists(name) and not os.path.isfile(name):
            continue  # a device, as /dev/null
        if found := sources.get(file_identity(name)):
            source, kind = found
            raise InputError(f"{what} {name} would take the place of {kind} {source}, which is "
                             "read: give one of them another name")
        other, role = seen.setdefault(os.path.realpath(name), (name, what))
        if role != what:
            raise InputError(f"{role} {other} and {what} {name} would be the same file: give one "
                             "of them another name")


def file_identity(name: str) -> object:
    """Return what tells a file from others: its device and inode, or where it would be."""
    try:
        status = os.stat(name)
    except OSError:
        return os.path.realpath(name)
    return status.st_dev, status.st_ino
