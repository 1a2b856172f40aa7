"""What an English sentence is, for those who look whether one is left where Chinese should stand."""

from __future__ import annotations

import re
from typing import Final

SENTENCE: Final = re.compile(r"(?<![\w’'-])[A-Za-z’']+(?: [A-Za-z’']+){3,}")
"""Four words in a row."""
