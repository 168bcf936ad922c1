"""Panoramic video + distance -> Gaussians per frame."""
