"""Panoramas: equirectangular images and sampling on the sphere."""
