"""Distance along every ray of a panorama."""
