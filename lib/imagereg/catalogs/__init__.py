"""Lists of sources: found, read from files, and the reference that images are matched with."""
