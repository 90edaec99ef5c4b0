"""Catalogs of tables, for tests of what reads them."""

from defaults import of

from imagereg.catalogs.user import image_catalog

COLUMNS = of("tweakreg", "xcol", "ycol", "fluxcol", "xyunits", "fluxunits")


def from_table(table, **columns):
    """Return the catalog of a table, by default of columns as the task has them."""
    return image_catalog(table, **{**COLUMNS, **columns})
