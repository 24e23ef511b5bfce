"""What the program of a trial adds to the journal."""

from __future__ import annotations

STARTED = "started"
"""The program is about to make its pool."""
PUSHED = "pushed"
OUTCOME = "outcome"
"""The detail is its word, and the digest of the result or the type of the error."""
REFUSED = "refused"
"""The push itself raised: an outcome as well, but without a callback."""
FINISHED = "finished"
"""The last line of the program was reached."""
