"""Arguments, exit codes, and the one place where errors become text."""
