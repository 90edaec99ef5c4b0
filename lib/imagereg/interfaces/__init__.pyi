from .pyraf import declare_tasks as declare_tasks
from .python import TweakReg as TweakReg
from .python import edit_imagefindpars as edit_imagefindpars
from .python import edit_refimagefindpars as edit_refimagefindpars
from .python import getHelpAsString as getHelpAsString
from .python import help as help
from .python import run as run
from .shell.cli import main as main

__all__ = [
    "TweakReg",
    "declare_tasks",
    "edit_imagefindpars",
    "edit_refimagefindpars",
    "getHelpAsString",
    "help",
    "main",
    "run",
]
