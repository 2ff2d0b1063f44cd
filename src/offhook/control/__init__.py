"""Surfaces: each file turns one outside form into commands, and events into that form. Surfaces are blind to each other."""
