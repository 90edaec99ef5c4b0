from .camera import Camera as Camera
from .camera import tangent_plane as tangent_plane
from .visit import ChipTruth as ChipTruth
from .visit import PointingError as PointingError
from .visit import Visit as Visit
from .visit import simulate_visit as simulate_visit

__all__ = ["Camera", "ChipTruth", "PointingError", "Visit", "simulate_visit", "tangent_plane"]
