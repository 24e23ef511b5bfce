"""The processes of the pool, one file each, and what they share."""
