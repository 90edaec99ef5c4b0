from . import help as help
from . import saved as saved
from . import texts as texts
from .declaration import Parameter as Parameter
from .declaration import shown as shown
from .gather import ARGUMENTS as ARGUMENTS
from .gather import TASKS as TASKS
from .gather import find_parameter as find_parameter
from .gather import gather_parameters as gather_parameters
from .gather import starting_values as starting_values
from .spec import ParameterSet as ParameterSet
from .spec import Spec as Spec
from .spec import is_teals as is_teals
from .spec import package_file as package_file
from .spec import shared_out as shared_out

__all__ = [
    "ARGUMENTS",
    "TASKS",
    "Parameter",
    "ParameterSet",
    "Spec",
    "find_parameter",
    "gather_parameters",
    "help",
    "is_teals",
    "package_file",
    "saved",
    "shared_out",
    "shown",
    "starting_values",
    "texts",
]
