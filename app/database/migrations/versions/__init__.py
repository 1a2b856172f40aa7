"""One chain of revisions, numbered in their order."""
