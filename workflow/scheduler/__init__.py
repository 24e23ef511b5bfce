"""Every decision of the pool; no process, pipe, signal or clock."""
