"""Calls to Copilot: requests out, bytes back. Bodies are opaque here."""
