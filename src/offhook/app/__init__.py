"""Composition: a phone with its sockets, media, history and surfaces, built from the configuration and run."""
