"""From pixels to sources."""
