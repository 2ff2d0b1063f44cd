"""What the verbs do: a request to the phone, its answer as text or JSON, and an exit code."""
