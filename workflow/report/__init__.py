"""What the parent was told, as console lines, JSON lines and JSON."""
