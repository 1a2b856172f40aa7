"""Tests, in three circles: unit, integration (real gunicorn, real sockets), end to end (real SDKs, real browser)."""
