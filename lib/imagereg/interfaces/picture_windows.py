"""Windows that show PNG files, each in one of its own: ``python -m`` this module with their names.

The task opens them while it asks what to do with an image, see `imagereg.tasks.feedback.review`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

_MARGIN = 80  # pixels of the screen that a window leaves free
_STEP = 40  # pixels from one window to the next


def main(names: Sequence[str]) -> None:
    """Show files until all their windows are closed; Escape and q close one."""
    import tkinter

    root = tkinter.Tk()
    root.withdraw()
    windows = []
    kept = []  # pictures, which Tk alone does not keep alive
    for number, name in enumerate(names):
        window = tkinter.Toplevel(root)
        window.title(name)
        picture = tkinter.PhotoImage(master=root, file=name)
        wide = picture.width() / (root.winfo_screenwidth() - _MARGIN)
        tall = picture.height() / (root.winfo_screenheight() - _MARGIN)
        shrunk = picture.subsample(max(1, math.ceil(max(wide, tall))))
        kept.append(shrunk)
        tkinter.Label(window, image=shrunk).pack()
        window.geometry(f"+{_STEP * number}+{_STEP * number}")
        windows.append(window)
        for key in ("<Escape>", "q"):
            window.bind(key, lambda _, own=window: own.destroy())
        window.bind("<Destroy>", lambda _: root.after(10, _quit_if_none, root, windows))
    root.mainloop()


def _quit_if_none(root, windows):
    if not any(window.winfo_exists() for window in windows):
        root.quit()


if __name__ == "__main__":
    main(sys.argv[1:])
