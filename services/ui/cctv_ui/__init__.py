"""Search what was detected, and see its pictures."""
