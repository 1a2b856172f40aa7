"""A GitHub App for tests: a key pair that is made here and now, and is nobody's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

ID, INSTALLATION, REPOSITORY = "123456", 12345678, 123456789


@cache
def key_pair() -> tuple[bytes, str]:
    """The private key and the public key, in PEM form."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private, public.decode()


def settings(folder: Path) -> dict[str, str]:
    """What signs a bridge in as the App; its key lies in the folder."""
    file = folder / "app.pem"
    file.write_bytes(key_pair()[0])
    file.chmod(0o600)
    return {
        "GITHUB_APP_ID": ID,
        "GITHUB_APP_INSTALLATION_ID": str(INSTALLATION),
        "GITHUB_APP_PRIVATE_KEY_FILE": str(file),
    }
