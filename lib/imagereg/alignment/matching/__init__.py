"""Match source lists: by an offset (`match`), by patterns (`pattern`), several at once (`overlap`).

`placement` gives an exposure without a WCS its first one, by a pattern.
"""
