"""One file per paper, read from top to bottom like its method section."""
