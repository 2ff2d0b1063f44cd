"""What a phone is: accounts, calls, commands, events. Pure and deterministic."""
