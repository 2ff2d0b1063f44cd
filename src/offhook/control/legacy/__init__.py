"""The older interfaces as tables: 16 DDE names, 10 WM_COPYDATA codes, and the command line of existing scripts. Pure.

Text becomes steps, steps become commands. Everything is read before anything runs: one bad argument refuses the whole.
"""
