"""For SDKs that speak plain HTTP here: each client would load the certificate authorities of the world first."""

from __future__ import annotations

import ssl
from typing import Final

NO_AUTHORITIES: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""What an HTTP client is to verify with: nobody is trusted, so that TLS fails."""
