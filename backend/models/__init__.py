"""Model weights: where they come from, their licences, and how much memory they take."""
