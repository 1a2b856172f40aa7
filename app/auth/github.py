"""The calls to GitHub itself: device sign-in, token exchange, account information (contract §1–§3).

One method per call, each returning GitHub's JSON; what an answer means is decided by the callers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import requests

from app.errors import Sentence, UpstreamProtocolError
from app.http_connection import Interrupt
from app.outbound import Outbound
from app.settings import Secret, Settings

# Of GitHub's public API. The version of its internal calls is refused there.
_PUBLIC_API_VERSION = "2022-11-28"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of GitHub: status, headers (case-insensitive), and the JSON object in the body, if it is one."""

    status: int
    headers: requests.structures.CaseInsensitiveDict[str]
    body: dict[str, Any] | None

    @property
    def message(self) -> str:
        """What GitHub says of an error."""
        return str((self.body or {}).get("message") or "")

    @property
    def is_rate_limited(self) -> bool:
        """Also by a "secondary" limit (contract §2.6): that is about too many calls, not about the account."""
        return self.status == 429 or (self.status == 403 and "rate limit" in self.message.lower())


class GitHub:
    """GitHub's web host (sign-in) and REST host (tokens, account). Has a connection pool of its own, so that long
    answers of Copilot cannot starve a token exchange (contract §11.5)."""

    def __init__(self, settings: Settings, outbound: Outbound) -> None:
        self._settings = settings
        self._outbound = outbound
        self._editor = {
            "Accept": "application/json",
            "User-Agent": settings.copilot_user_agent,
            "Editor-Version": settings.editor_version,
            "Editor-Plugin-Version": settings.editor_plugin_version,
        }

    def request_device_code(self) -> Answer:
        """Contract §1.1. 200 with ``device_code, user_code, verification_uri, expires_in, interval``."""
        body = {"client_id": self._settings.github_client_id, "scope": "read:user"}
        return self._post_web("/login/device/code", body)

    def poll_device_code(self, device_code: str) -> Answer:
        """Contract §1.3, §1.4. 200 with ``access_token``, or with ``error``."""
        body = {
            "client_id": self._settings.github_client_id,
            "device_code": device_code,
            "grant_type": DEVICE_GRANT,
        }
        return self._post_web("/login/oauth/access_token", body)

    def exchange(self, token: Secret) -> Answer:
        """Contract §2. GitHub token → Copilot token envelope."""
        return self._get_api("/copilot_internal/v2/token", token)

    def make_installation_token(self, jwt: Secret, installation_id: int, body: dict[str, Any]) -> Answer:
        """Contract §1.10. 201 with ``token``, ``expires_at`` (RFC 3339) and ``permissions``. jwt: signed by the App."""
        headers = {
            "Accept": "application/vnd.github+json",
            "User-Agent": self._settings.copilot_user_agent,
            "Authorization": f"Bearer {jwt.reveal()}",
            "X-GitHub-Api-Version": _PUBLIC_API_VERSION,
            "Content-Type": "application/json",
        }
        path = f"/app/installations/{installation_id}/access_tokens"
        return self._send("POST", self._settings.github_api_base_url + path, headers, orjson.dumps(body))

    def account(self, token: Secret) -> Answer:
        """Contract §3. Plan and quotas."""
        return self._get_api("/copilot_internal/user", token)

    def _post_web(self, path: str, body: dict[str, str]) -> Answer:
        headers = {**self._editor, "Content-Type": "application/json"}
        return self._send("POST", self._settings.github_base_url + path, headers, orjson.dumps(body))

    def _get_api(self, path: str, token: Secret) -> Answer:
        headers = {
            **self._editor,
            "Authorization": f"token {token.reveal()}",
            "X-GitHub-Api-Version": self._settings.github_api_version,
        }
        return self._send("GET", self._settings.github_api_base_url + path, headers, None)

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        timeout_s = self._settings.github_timeout_s
        with Interrupt.held_off():  # a token is everybody's, whoever's request has it fetched
            response = self._outbound.send(
                method, url, headers=headers, body=body, connect_timeout_s=timeout_s, read_timeout_s=timeout_s
            )
        try:
            parsed = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            parsed = None
        return Answer(response.status_code, response.headers, parsed if isinstance(parsed, dict) else None)


def expect_object(answer: Answer, what: str) -> dict[str, Any]:
    """The JSON object of an answer. Raises: UpstreamProtocolError if something else came (a proxy's page, say)."""
    if answer.body is None:
        raise UpstreamProtocolError(
            Sentence(
                "GitHub's answer to the %(what)s is not JSON (HTTP %(status)s). A proxy or login page in between?",
                what=what,
                status=answer.status,
            )
        )
    return answer.body
