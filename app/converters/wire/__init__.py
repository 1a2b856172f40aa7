"""What the wire needs whatever the protocol: bytes, JSON, server-sent events, paths in a body, OpenAI's errors."""
