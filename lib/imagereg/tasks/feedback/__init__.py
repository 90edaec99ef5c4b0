"""What a person sees of a run: `progress`, questions (`review`), the log (`runlog`), the `page`."""
