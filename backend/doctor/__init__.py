"""``cyclorama doctor``: whether all that Cyclorama needs is here, and how to fix what is not. It changes nothing."""
