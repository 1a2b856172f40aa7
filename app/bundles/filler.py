"""Text that says nothing, in the length and shape of one that did.

Letters become other letters of the same script and case, digits other digits; spaces and punctuation stay, and so does
every length, in characters and in bytes. The same text becomes the same filler within a bundle, so what refers to each
other still does; the key to it is thrown away, so nobody can try which text it was.
"""

from __future__ import annotations

import functools
import hashlib
import random
import re
import secrets
import unicodedata
from typing import Final

# Hexadecimal, so that an escape stays one wherever a stream is cut.
_LOWER: Final = bytes(b"abcdef"[byte % 6] for byte in range(256))
_UPPER: Final = bytes(b"ABCDEF"[byte % 6] for byte in range(256))
_DIGIT: Final = bytes(b"123456789"[byte % 9] for byte in range(256))
# A zero stays one: a number that begins with it would be none.
_RUN: Final = re.compile(r"[a-z]+|[A-Z]+|[1-9]+|[^\x00-\x7f]+")

_HAN: Final = "测试文字填充内容"
_BY_SCRIPT: Final = {
    "HIRAGANA": "あいうえお",
    "KATAKANA": "アイウエオ",
    "HANGUL": "가나다라마",
    "CYRILLIC SMALL": "абвгд",
    "CYRILLIC CAPITAL": "АБВГД",
    "GREEK SMALL": "αβγδε",
    "GREEK CAPITAL": "ΑΒΓΔΕ",
    "ARABIC": "ابتثج",
    "HEBREW": "אבגדה",
    "THAI": "กขคงจ",
    "DEVANAGARI": "कखगघच",
}
_BY_SIZE: Final = {
    ("Lu", 2): "ÀÉÎÕÜ",
    ("Ll", 2): "àéîõü",
    ("Lo", 2): "ابتثج",
    ("Nd", 2): "٠١٢٣٤",
    ("Lu", 3): "ẠẸỊỌỤ",
    ("Ll", 3): "ạẹịọụ",
    ("Lo", 3): _HAN,
    ("Nd", 3): "０１２３４",
    ("Lo", 4): "𠀀𠀁𠀂𠀃𠀄",
    ("So", 4): "😀😁😂😃😄",
}
_OTHERS: Final = {2: "ªº", 3: "ꀀꀁꀂ", 4: "😀😁😂😃😄"}
_STAYS: Final = ("P", "S", "Z", "M", "Cf", "Cc")


class Filler:
    """Makes filler; one for each bundle."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(16)

    def of(self, text: str) -> str:
        """The filler of a text. Bytes that were no UTF-8 (lone surrogates) become others that are none."""
        noise = self._noise(text, "")
        found = _fill(text, noise)
        tries = 0
        while found == text and len(text) > 1 and _RUN.search(text) and tries < 4:
            tries += 1
            found = _fill(text, self._noise(text, str(tries)))
        return found

    def _noise(self, text: str, salt: str) -> bytes:
        seed = hashlib.blake2b((salt + text).encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).digest()
        return random.Random(seed).randbytes(len(text))  # noqa: S311 - the seed is a keyed hash, its key is thrown away


def _fill(text: str, noise: bytes) -> str:
    lower, upper, digit = (noise.translate(table).decode("ascii") for table in (_LOWER, _UPPER, _DIGIT))

    def run(match: re.Match[str]) -> str:
        begins, ends = match.span()
        first = text[begins]
        if "a" <= first <= "z":
            return lower[begins:ends]
        if "A" <= first <= "Z":
            return upper[begins:ends]
        if first < "\x80":
            return digit[begins:ends]
        return "".join(_other(char, noise[at]) for at, char in enumerate(match.group(), begins))

    return _RUN.sub(run, text)


def _other(char: str, byte: int) -> str:
    pool = _pool(char)
    return pool[byte % len(pool)] if pool else char


@functools.lru_cache(maxsize=4096)
def _pool(char: str) -> str:
    """What may stand for a character; empty: it stays."""
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8: what kind of one is all that is kept
        byte = code - 0xDC00
        kind = 0x80 if byte < 0xC0 else 0xC3 if byte < 0xE0 else 0xE4 if byte < 0xF0 else 0xF0 if byte < 0xF8 else 0xFF
        return chr(0xDC00 + kind)
    category = unicodedata.category(char)
    if category == "Cs":
        return ""
    size = len(char.encode())
    if category == "So" and size == 4:
        return _BY_SIZE["So", 4]
    if category.startswith(_STAYS):
        return ""
    name = unicodedata.name(char, "")
    if name.startswith("CJK UNIFIED") and size == 3:
        return _HAN
    for script, pool in _BY_SCRIPT.items():
        if name.startswith(script) and len(pool[0].encode()) == size:
            return pool
    if category == "Lm":
        category = "Lo"
    return _BY_SIZE.get((category, size)) or _OTHERS[size]
