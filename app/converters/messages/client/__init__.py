"""The Messages protocol towards a client: its requests are decoded, its answers encoded."""
