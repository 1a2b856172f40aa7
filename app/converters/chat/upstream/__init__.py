"""The Chat protocol towards Copilot: requests for it are encoded, its answers decoded."""
