"""One call as a file that says nothing of what was said: recorded, redacted, and played again elsewhere."""
