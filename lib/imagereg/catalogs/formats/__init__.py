"""Formats of catalog files: `readers` tells them apart; `columns` gives their cells a meaning."""
