from .batch.run import run_batch as run_batch
from .feedback.page import report_solution as report_solution
from .run import align_catalogs as align_catalogs
from .run import align_images as align_images
from .solutions.apply import AppliedSolution as AppliedSolution
from .solutions.apply import apply_solution as apply_solution
from .solutions.compare import Score as Score
from .solutions.compare import compare_solutions as compare_solutions
from .solutions.compare import list_solutions as list_solutions
from .solutions.compare import score_table as score_table
from .solutions.restore import restore_wcs as restore_wcs
from .solutions.tweakback import tweakback as tweakback

__all__ = [
    "AppliedSolution",
    "Score",
    "align_catalogs",
    "align_images",
    "apply_solution",
    "compare_solutions",
    "list_solutions",
    "report_solution",
    "restore_wcs",
    "run_batch",
    "score_table",
    "tweakback",
]
