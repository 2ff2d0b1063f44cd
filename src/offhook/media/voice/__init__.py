"""The microphone's sound before it goes into calls: without echo, with less noise, at an even level. Reads numpy late."""
