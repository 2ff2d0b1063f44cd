"""Tools for testing phones: a virtual network, pairs of phones, ears that measure sound, runners for real peers."""
