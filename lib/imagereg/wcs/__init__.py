"""Pixels and sky: planes, corrections of a WCS, and the keywords that hold it."""
