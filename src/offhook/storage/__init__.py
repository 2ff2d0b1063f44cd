"""Files on disk: configuration, secrets, call history, and where they live."""
