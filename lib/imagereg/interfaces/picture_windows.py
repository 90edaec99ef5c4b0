"""Windows that show PNG files, each in one of its own, and tell which place in them was clicked.

`imagereg.tasks.feedback.review` runs this module as a process of its own. Each line of its input
is JSON: names of files, each with the places that can be clicked, ``[x, y, number]``; they are
shown in place of those before. A line of its output is the number of a place. It ends when all
windows are closed.
"""

from __future__ import annotations

import json
import math
import queue
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tkinter

_MARGIN = 80  # pixels of the screen that a window leaves free
_STEP = 40  # pixels from one window to the next
_REACH = 10  # pixels of the screen from a click to the place that is meant
_POLL = 50  # milliseconds


class PictureWindow:
    """A picture in a window; Escape and q close it."""

    def __init__(self, root: tkinter.Tk, name: str, number: int):
        import tkinter

        self._name = name
        self._places: list[list[float]] = []
        self._shrink = 1.0
        self.top = tkinter.Toplevel(root)
        self.top.geometry(f"+{_STEP * number}+{_STEP * number}")
        self._label = tkinter.Label(self.top, borderwidth=0)
        self._label.pack()
        self._label.bind("<Button-1>", self._click)
        for key in ("<Escape>", "q"):
            self.top.bind(key, lambda _: self.top.destroy())

    def show(self, places: list[list[float]]) -> None:
        """Read the file, and show it as large as the screen allows."""
        import tkinter

        picture = tkinter.PhotoImage(master=self.top, file=self._name)
        wide = picture.width() / (self.top.winfo_screenwidth() - _MARGIN)
        tall = picture.height() / (self.top.winfo_screenheight() - _MARGIN)
        halves = max(2, math.ceil(2 * max(wide, tall)))
        if halves > 2:
            picture = picture.zoom(2).subsample(halves)
        self._picture = picture  # which Tk alone does not keep alive
        self._shrink = halves / 2
        self._label.configure(image=self._picture, cursor="crosshair" if places else "")
        self._places = places
        hint = ": click a point to leave it out, or to take it in again" if places else ""
        self.top.title(f"{self._name}{hint}")

    def _click(self, event):
        """Tell the number of the place that is nearest, if it is near."""
        x, y = event.x * self._shrink, event.y * self._shrink
        distances = [(math.hypot(left - x, top - y), number)
                     for left, top, number in self._places]
        distance, number = min(distances, default=(math.inf, 0))
        if distance <= _REACH * self._shrink:
            sys.stdout.write(f"{number:.0f}\n")
            sys.stdout.flush()


def main() -> None:
    """Show what the standard input names until all windows are closed."""
    import tkinter

    root = tkinter.Tk()
    root.withdraw()
    windows: dict[str, PictureWindow] = {}
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read():
        for line in sys.stdin:
            lines.put(line)

    def poll():
        while not lines.empty():
            for name, places in json.loads(lines.get()).items():
                if name not in windows:
                    windows[name] = PictureWindow(root, name, len(windows))
                if windows[name].top.winfo_exists():
                    windows[name].show(places)
        if windows and not any(window.top.winfo_exists() for window in windows.values()):
            root.quit()
        else:
            root.after(_POLL, poll)

    threading.Thread(target=read, daemon=True).start()
    poll()
    root.mainloop()


if __name__ == "__main__":
    main()
