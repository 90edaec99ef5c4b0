"""What a run writes: the `footprint` says what that is, `outputs` does it, from `drafts`."""
