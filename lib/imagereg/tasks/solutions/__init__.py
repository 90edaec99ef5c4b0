"""Tasks for solutions that exist: apply, restore, list, compare; in headers and headerlets."""
