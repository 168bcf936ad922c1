"""One file a subject; a check is a function from a ``Situation`` to findings, and knows nothing of the others."""
