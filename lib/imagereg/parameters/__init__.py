"""What can be set: declarations, values, where they are saved, and their help."""
