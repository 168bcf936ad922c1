"""How splats look: node groups and materials, built in code."""
