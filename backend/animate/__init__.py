"""Panorama + masks + directions -> panoramic video."""
