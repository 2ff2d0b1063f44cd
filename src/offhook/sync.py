"""The phone for programs without asyncio."""
