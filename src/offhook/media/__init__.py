"""Media: packets to 20 ms frames and back. Pure: no clock, no socket, no file."""
