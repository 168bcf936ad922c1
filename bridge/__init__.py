"""What the add-on and the backend share; imports neither bpy nor torch."""
