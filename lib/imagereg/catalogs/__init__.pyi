from .formats.columns import Table as Table
from .formats.readers import read_table as read_table
from .reference import Reference as Reference
from .sources import Flag as Flag
from .sources import SourceCatalog as SourceCatalog
from .stars import ReferenceCatalog as ReferenceCatalog
from .stars import julian_year as julian_year
from .surveys import reference_catalog as reference_catalog
from .surveys import sky_table_text as sky_table_text
from .user import image_catalog as image_catalog
from .user import limited as limited

__all__ = [
    "Flag",
    "Reference",
    "ReferenceCatalog",
    "SourceCatalog",
    "Table",
    "image_catalog",
    "julian_year",
    "limited",
    "read_table",
    "reference_catalog",
    "sky_table_text",
]
