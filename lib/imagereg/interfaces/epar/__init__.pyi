from .faces import edit as edit
from .model import TASKS as TASKS
from .model import Model as Model
from .rows import Row as Row

__all__ = ["TASKS", "Model", "Row", "edit"]
