"""What people are told about the private way, in the same words on every system."""


def already_running(address: str) -> str:
    """Return why a second phone is refused."""
    return f"a phone is already running at {address}; `offhook quit` ends it, --socket starts a second one elsewhere"
