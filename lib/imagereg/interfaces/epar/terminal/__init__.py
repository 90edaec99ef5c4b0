"""The editor in a terminal, after the page editor of IRAF's eparam.

`application` joins a keyboard and a screen to a `session.Session`, which turns the actions of
`keys` into changes of the model; `screen` draws the session as text.
"""

from imagereg.interfaces.epar.terminal.application import edit as edit
