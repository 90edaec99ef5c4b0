"""The editor in a window of tkinter.

`editor` has the window of a task or a parameter set; `form` its rows, and the search in them;
`shortcuts` the one table of menus and keys; `running` the window in which the task runs.
"""

from imagereg.interfaces.epar.window.editor import edit as edit
