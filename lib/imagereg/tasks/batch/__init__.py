"""Many visits in one go: which there are, what became of each, and the processes that align them.

`run.run_batch` is the way in: it reads the `visits`, and keeps in the `state` what is done of them;
each is aligned in a `process` of its own, on this machine or by the workers of a dask cluster.
"""
