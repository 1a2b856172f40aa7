"""What is kept for clients, and the sign-ins of their keys, is encrypted at rest: AES-256-GCM (NIST SP 800-38D), with
keys in files of their own.

The library is imported when the first answer is sealed: it costs a start 15 ms, and a worker some megabytes.
"""

from __future__ import annotations

import base64
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app.errors import Sentence, StoreError
from app.settings import SEALING_KEY_BYTES

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES: Final = 12


class Seal:
    """Encrypts and opens. context: to what the content belongs; it opens with the same alone.

    key_file: made on first use if it is missing, mode 0600. key: instead of the file, the same on all hosts.
    """

    def __init__(self, key_file: Path, key: bytes | None = None) -> None:
        self._file = key_file
        self._key = key
        self._cipher: AESGCM | None = None

    def close(self, content: bytes, context: str) -> bytes:
        """Encrypt. Raises: StoreError if there is no key to be had."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._opened().encrypt(nonce, content, context.encode("utf-8", "surrogatepass"))

    def open(self, sealed: bytes, context: str) -> bytes | None:
        """What was encrypted; None if that was with another key or for something else, or it is damaged.

        Raises: StoreError.
        """
        from cryptography.exceptions import InvalidTag

        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._opened().decrypt(nonce, rest, context.encode("utf-8", "surrogatepass"))
        except (InvalidTag, ValueError):
            return None

    def read_anew(self) -> None:
        """Look into the file at the next use: it may hold another key by now."""
        self._cipher = None

    def _opened(self) -> AESGCM:
        if self._cipher is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._cipher = AESGCM(self._key if self._key is not None else _key_in(self._file))
        return self._cipher


def key_of(text: str) -> bytes:
    """32 bytes in base64, as ``openssl rand -base64 32`` writes them. Raises: ValueError."""
    key = base64.b64decode(text.strip(), validate=True)
    if len(key) != SEALING_KEY_BYTES:
        raise ValueError("wrong length")
    return key


def _key_in(file: Path) -> bytes:
    """The key in the file; a new one if there is none. Whoever is first among several workers makes it."""
    try:
        if not file.exists():
            _make(file)
        return key_of(file.read_text("ascii"))
    except OSError as error:
        raise StoreError(
            Sentence("The key in %(file)s cannot be used: %(why)s.", file=file.name, why=error.strerror or "?")
        ) from error
    except ValueError as error:
        raise StoreError(
            Sentence(
                "%(file)s holds no key. Move it away: a new one is made, and nothing stored before is found.",
                file=file.name,
            )
        ) from error


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes the file with mode 0600.
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.stem}-")
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(base64.b64encode(os.urandom(SEALING_KEY_BYTES)) + b"\n")
            new.flush()
            os.fsync(new.fileno())
        os.link(temporary, file)  # unlike a rename this never replaces the key of another worker
    except FileExistsError:
        pass
    finally:
        Path(temporary).unlink(missing_ok=True)
