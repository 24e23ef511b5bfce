"""Which promises does each pool keep?  The same faults for all of them, and the same judge: see ../README.md."""
