"""A call's sound for programs on a WebSocket: two dialects, and the conversation that speaks either."""
