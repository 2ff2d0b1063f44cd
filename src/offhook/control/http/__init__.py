"""HTTP, server-sent events and WebSocket: `routes.py` is the table everything here is derived from, `server.py` its life."""
