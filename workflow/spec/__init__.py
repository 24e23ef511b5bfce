"""TOML text to a validated Pipeline: the only home of pydantic models of the file."""
