"""Alembic's folder. See "A table" in docs/contributing.md."""
