from .exposure import Chip as Chip
from .exposure import Exposure as Exposure
from .exposure import Metadata as Metadata
from .fitting.fit import LinearFit as LinearFit
from .fitting.fit import fit_linear as fit_linear
from .matching.match import Candidate as Candidate
from .sequence import align as align
from .verdict import Alignment as Alignment
from .verdict import Rules as Rules

__all__ = ["Alignment", "Candidate", "Chip", "Exposure", "LinearFit", "Metadata", "Rules", "align",
           "fit_linear"]
