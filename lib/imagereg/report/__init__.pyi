from .plots import histogram_png as histogram_png
from .plots import residuals_png as residuals_png
from .plots import vector_png as vector_png
from .summary import Result as Result

__all__ = ["Result", "histogram_png", "residuals_png", "vector_png"]
