"""Checks at the boundary: one schema per request, for the fields that the bridge itself reads."""
