from .atomic import Claim as Claim
from .atomic import read_bytes as read_bytes
from .atomic import read_text as read_text
from .atomic import write_bytes as write_bytes
from .atomic import write_text as write_text
from .images.fits import read_image as read_image
from .images.instruments import root_name as root_name
from .inputs import InputFile as InputFile
from .inputs import expand_input as expand_input
from .inputs import mef_inputs as mef_inputs
from .solution import Solutions as Solutions

__all__ = [
    "Claim",
    "InputFile",
    "Solutions",
    "expand_input",
    "mef_inputs",
    "read_bytes",
    "read_image",
    "read_text",
    "root_name",
    "write_bytes",
    "write_text",
]
