"""Codecs, one per file, behind one two-method protocol."""
