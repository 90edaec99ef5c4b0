"""Run IRAF's daofind and write the tables that test_daofind_iraf.py compares our finder with.

Not a test. To freeze the tables anew (needs IRAF and its apphot, Debian packages iraf and iraf-noao; the
images are in the Debian packages named in data/daofind_settings.json):

    python tests/regression/iraf_daofind.py                     # every setting, into tests/regression/data
    python tests/regression/iraf_daofind.py pix_fwhm25 --out .  # one of them, elsewhere

A table is `daofind_<setting>.csv.gz`: one comment line with IRAF's version and the SHA-256 of the pixels
(float32, little endian) that IRAF read, then x, y (pixels, 1-based), mag, sharp, sround, ground with IRAF's
three decimals. IRAF runs in a folder of its own as its home: no saved parameter of the user takes part.
"""

import argparse
import gzip
import hashlib
import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

DATA = Path(__file__).parent / "data"
LOGIN = Path("/etc/iraf/login.cl")
HEADER = "x,y,mag,sharp,sround,ground"
# IRAF takes INDEF as a limit literally, as 1.6e38, and rejects everything: "no cut" has to be a number.
NO_CUT = {"sharplo": -1e30, "roundlo": -1e30, "sharphi": 1e30, "roundhi": 1e30}


def load_settings():
    """Read the settings.

    Returns
    -------
    images : dict
        What IRAF calls an image, the file it is in and the Debian package of that file, by image name.
    settings : dict
        The parameters of IRAF's daofind and the image name, complete with defaults, by setting name.
    """
    content = json.loads((DATA / "daofind_settings.json").read_text())
    settings = {name: {**content["defaults"], **own} for name, own in content["settings"].items()}
    return content["images"], settings


def cl_script(setting, iraf_image):
    """Write the CL commands of one daofind run on a copy of an image.

    Parameters
    ----------
    setting : dict
        Parameters of daofind and ``image``.
    iraf_image : str
        The image as IRAF calls it.

    Returns
    -------
    str
        Commands that leave ``image.fits`` and ``out.coo`` in the working directory.
    """
    given = {key: value for key, value in setting.items() if key != "image"}
    given = {key: NO_CUT.get(key, "INDEF") if value is None else value for key, value in given.items()}
    arguments = ", ".join(f"{key}={value}" for key, value in given.items())
    return "\n".join([
        "noao", "digiphot", "apphot", "unlearn daofind datapars findpars",
        f'imcopy ("{iraf_image}", "image.fits", verbose-)',
        'daofind ("image.fits", output="out.coo", boundary="nearest", wcsout="logical",'
        f" interactive-, verify-, update-, verbose-, {arguments})",
        "logout", ""])


def run_iraf(script, folder):
    """Run CL commands in a folder that is IRAF's home as well.

    Parameters
    ----------
    script : str
        CL commands.
    folder : pathlib.Path
        An empty folder.

    Raises
    ------
    RuntimeError
        When IRAF reports an error; the message holds its output.
    """
    (folder / "login.cl").write_text(LOGIN.read_text())
    (folder / ".iraf" / "uparm").mkdir(parents=True)
    environment = {**os.environ, "HOME": str(folder), "USER": os.environ.get("USER", "user"), "TERM": "vt100"}
    done = subprocess.run(["irafcl"], input=script, cwd=folder, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300, check=False)
    if done.returncode or "ERROR" in done.stdout or not (folder / "out.coo").exists():
        raise RuntimeError(f"irafcl failed (exit status {done.returncode}):\n{done.stdout}")


def read_coo(path):
    """Read a daofind output file.

    Parameters
    ----------
    path : pathlib.Path
        A ``.coo`` file.

    Returns
    -------
    version : str
        The version of IRAF that wrote it.
    table : (N, 6) ndarray
        x, y (pixels, 1-based), mag, sharp, sround, ground; INDEF is NaN.
    """
    lines = path.read_text().splitlines()
    version = next(line.split()[3] for line in lines if line.startswith("#K IRAF "))
    rows = [line.replace("INDEF", "nan").split()[:6] for line in lines if not line.startswith("#")]
    return version, np.array(rows, dtype=float).reshape(-1, 6)


def freeze(name, out):
    """Run one setting and write its table.

    Parameters
    ----------
    name : str
        A setting in data/daofind_settings.json.
    out : pathlib.Path
        Folder of the table.

    Returns
    -------
    int
        The number of sources.
    """
    images, settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="daofind") as scratch:
        folder = Path(scratch)
        run_iraf(cl_script(settings[name], images[settings[name]["image"]]["iraf"]), folder)
        version, table = read_coo(folder / "out.coo")
        digest = hashlib.sha256(fits.getdata(folder / "image.fits").astype("<f4").tobytes()).hexdigest()
    rows = [f"# {version} daofind, pixels sha256 {digest}", HEADER]
    rows += [",".join(f"{value:.3f}" for value in row) for row in table]
    # mtime=0: the same table is the same file.
    compressed = gzip.compress(("\n".join(rows) + "\n").encode(), mtime=0)
    (out / f"daofind_{name}.csv.gz").write_bytes(compressed)
    return len(table)


def main():
    """Freeze the settings named on the command line."""
    parser = argparse.ArgumentParser(description="Freeze tables of IRAF's daofind.")
    parser.add_argument("names", nargs="*", help="settings in data/daofind_settings.json (default: all)")
    parser.add_argument("--out", type=Path, default=DATA, help="folder of the tables")
    arguments = parser.parse_args()
    for name in arguments.names or load_settings()[1]:
        print(f"{name}: {freeze(name, arguments.out)} sources")


if __name__ == "__main__":
    main()
