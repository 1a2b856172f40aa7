"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bridge import ROOT

# Two large events after which something small stays: by then glibc takes large blocks from its heap, and keeps them.
PROGRAM = """
import os
from app.serving.free_memory import give_back
from tests.soak.outside import resident_mib
before = resident_mib(os.getpid())
kept = []
for _ in range(2):
    pieces = [bytes(50_000) for _ in range(400)]
    event = b"".join(pieces)
    kept.append(bytes(50_000))
    del pieces, event
give_back()
print(resident_mib(os.getpid()) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc to see how much it has")
def test_memory_of_large_events_is_given_back() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(told.stdout) < 10
