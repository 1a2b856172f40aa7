"""Secrets planted in the tests. All obviously fake, all distinctive, so that a leak can be found by searching."""

API_KEY = "key-test-planted-4f1c9d"
SECOND_API_KEY = "key-test-planted-second-77ab"

# What must be in no log line and no response: our keys, GitHub tokens, Copilot tokens.
PATTERNS = (
    rb"key-test-planted[-\w]*",
    rb"gh[a-z]_test\w*",
    rb"github_pat_test\w*",
    rb"tid=[0-9a-f]{8,}",
)
