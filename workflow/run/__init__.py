"""Plan to Report: which task may start, the run folder, events.

``admission`` decides and does nothing, ``conductor`` does and decides nothing; ``facts`` go from the second to the
first, ``effects`` come back.  The other files each keep one thing that a run leaves or needs.
"""
