"""Plan to Report: which task may start, the run folder, events."""
