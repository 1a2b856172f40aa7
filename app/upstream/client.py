"""One call to Copilot: the right host, the right token, one replay where that is safe.

Policy (contract §10.3), all of it before anything has reached our own client:
- 401: the token is renewed once and the call replayed. 421 (wrong host): the same, since the host comes with the token.
- no connection, 408, 500, 502, 504: repeated up to UPSTREAM_RETRIES times after a short pause, marked as `agent`.
- everything else, 429 and 403 in particular, is the caller's to see.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import requests

from app.auth.copilot_token import CopilotToken, CopilotTokens, skew_hint
from app.errors import UpstreamConnectError
from app.logs import logger
from app.outbound import Outbound, explain
from app.settings import Settings
from app.upstream.headers import Call, Initiator, copilot_headers
from app.upstream.stream import iter_bytes

PUBLIC_HOST = "https://api.githubcopilot.com"
_REPEATABLE = frozenset({408, 500, 502, 504})
_RENEWABLE = frozenset({401, 421})


@dataclass(frozen=True, slots=True)
class UpstreamAnswer:
    """Copilot's answer: status, headers (case-insensitive) and a body that is read once, whole or piece by piece.

    hint: a sentence that may explain a refusal (this machine's clock, our configuration), else empty.
    """

    response: requests.Response
    idle_timeout_s: float
    hint: str = ""

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> requests.structures.CaseInsensitiveDict[str]:
        return self.response.headers

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def read(self) -> bytes:
        """The whole body. Raises: UpstreamTimeoutError, UpstreamProtocolError, UpstreamConnectError."""
        try:
            return self.response.content
        except requests.RequestException as error:
            raise explain(error, self.response.url or "") from error
        finally:
            self.close()

    def iter_bytes(self, *, silence_s: float) -> Iterator[bytes]:
        """The body as it comes; NOTHING_CAME (b"") whenever nothing came for `silence_s`.

        Raises: UpstreamTimeoutError, UpstreamProtocolError.
        """
        return iter_bytes(self.response, silence_s=silence_s, idle_s=self.idle_timeout_s)

    def close(self) -> None:
        """Give the connection back, or cut it if the body was not read to its end. May be called twice."""
        self.response.close()


class CopilotClient:
    """Sends calls to Copilot. One per process; safe for threads and greenlets."""

    def __init__(
        self,
        *,
        settings: Settings,
        outbound: Outbound,
        tokens: CopilotTokens,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._tokens = tokens
        self._sleep = sleep
        self._jitter = jitter

    def require_token(self) -> None:
        """Nothing, if calls could be made. Raises: SignInRequiredError, AccountError, UpstreamError."""
        self._tokens.current()

    def send(self, call: Call) -> UpstreamAnswer:
        """Send the call; an error status is an answer like any other.

        Raises: SignInRequiredError, AccountError, UpstreamConnectError, UpstreamTimeoutError.
        """
        token = self._tokens.current()
        initiator = call.initiator
        attempts_left = self._settings.upstream_retries
        may_renew = True
        while True:
            try:
                response = self._send_once(call, token, initiator)
            except UpstreamConnectError as error:
                if not attempts_left:
                    raise
                self._note_retry(call, error.code)
            else:
                if response.status_code in _RENEWABLE and may_renew:
                    may_renew = False
                    renewed = self._renew(token, response)
                    if renewed is not token:
                        token = renewed
                        continue
                if response.status_code not in _REPEATABLE or not attempts_left:
                    return UpstreamAnswer(
                        response, self._settings.upstream_idle_timeout_s, self._hint(response.status_code, token)
                    )
                response.close()
                self._note_retry(call, str(response.status_code))
            attempts_left -= 1
            # What we repeat on our own account is no second request of the person (§5.5).
            initiator = "agent" if initiator else None
            self._sleep(self._jitter(0.3, 1.0))

    def _renew(self, token: CopilotToken, response: requests.Response) -> CopilotToken:
        # Nothing of this answer has been passed on. Its body must stay readable in case there is no better token.
        _ = response.content
        return self._tokens.renew(token)

    def _send_once(self, call: Call, token: CopilotToken, initiator: Initiator | None) -> requests.Response:
        base = self._settings.copilot_api_base_url or token.api_base or PUBLIC_HOST
        return self._outbound.send(
            "GET" if call.body is None else "POST",
            base + call.path,
            headers=copilot_headers(self._settings, token, call, initiator=initiator),
            body=call.body,
            connect_timeout_s=self._settings.upstream_connect_timeout_s,
            read_timeout_s=call.patience_s or self._settings.upstream_idle_timeout_s,
            stream=True,
        )

    def _hint(self, status: int, token: CopilotToken) -> str:
        if status == 401:
            return skew_hint(token)
        if status == 421 and self._settings.copilot_api_base_url:
            return " COPILOT_API_BASE_URL names the host; unset it to use the one that GitHub names."
        return ""

    def _note_retry(self, call: Call, why: str) -> None:
        logger.warning("upstream call repeated", extra={"fields": {"path": call.path, "why": why}})
