"""What the models of a task and of its parameter sets share: values, history, what is saved."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from imagereg.errors import ParameterError
from imagereg.interfaces.epar.saved import Saved


@dataclasses.dataclass(frozen=True)
class State:
    """All values at one time, what is saved, and a description of the change that led here."""

    values: dict
    saved: Saved
    description: str = ""


@dataclasses.dataclass
class Document:
    """What the models of a task and of its parameter sets share, with the history of changes."""

    specs: dict
    states: list
    store: Callable | None
    run: Callable | None
    notes: tuple
    message: str
    index: int = 0
    most_used: bool = False
    outcome: str = ""
    result: dict | None = None

    @property
    def state(self) -> State:
        """Present state."""
        return self.states[self.index]

    def change(self, description, values, saved=None):
        """Add a state with other values; states that were undone are forgotten."""
        state = self.state
        if values != state.values or saved:
            del self.states[self.index + 1:]
            self.states.append(State(state.values | values, saved or state.saved, description))
            self.index += 1
        self.message = description

    def step(self, by):
        """Go back or forth in the history."""
        target = self.index + by
        if not 0 <= target < len(self.states):
            raise ParameterError(f"nothing to {'undo' if by < 0 else 'redo'}")
        description = self.states[max(self.index, target)].description
        self.message = f"{'undone' if by < 0 else 'done again'}: {description}"
        self.index = target

    def mark_saved(self, saved):
        """Note that the values are saved, in every state that belongs to the same file."""
        before = self.state.saved
        self.states = [
            dataclasses.replace(state, saved=saved) if state.saved is before else state
            for state in self.states
        ]
        self.result = self.state.values
        self.outcome = "saved"
