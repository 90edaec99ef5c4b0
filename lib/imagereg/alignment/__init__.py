"""From sources to a verdict on every exposure."""
