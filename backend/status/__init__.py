"""``cyclorama status``: a backend watched while it runs, like ``top``."""
