"""The fault harness: it runs real batches, hurts them on purpose, and judges what came of it.

``kinds`` says what can be injected and what must come of it, ``victims`` does the harm, in the worker; ``scenarios``
holds the catalogue; ``experiment`` runs one batch and watches it from outside; ``oracle`` judges, by the same nine
promises each time.  It knows the engine by the package's front door and by what a run leaves, never by its insides:
what judges must not share the mistakes of what is judged.
"""
