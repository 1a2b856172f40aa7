"""One call to Copilot: the right host, the right token, one replay where that is safe.

Policy (contract §10.3), all of it before anything has reached our own client:
- 401, and a 403 that gives no reason: the token is renewed once and the call replayed, once for both. 421 (wrong
  host): the same, since the host comes with the token.
- no connection, 408, 500, 502, 504, a 400 without a word: repeated up to UPSTREAM_RETRIES times after a short pause,
  marked as `agent`.
- a session of auto mode that has ended: it is renewed once.
- 400 about the form of the authorization, with a GitHub token that is used as it is: once more in the other scheme.
- everything else, 429 and a 403 with a reason in particular, is the caller's to see.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import requests

from app.auth.copilot_token import CopilotToken, CopilotTokens, skew_hint
from app.errors import (
    GatewayError,
    LocalSettingError,
    Sentence,
    UpstreamConnectError,
    UpstreamError,
    UpstreamTimeoutError,
)
from app.http_body import set_patience
from app.logs import logger
from app.outbound import Outbound, read_whole
from app.settings import Settings
from app.tape import Reel
from app.upstream.headers import Call, Initiator, Scheme, copilot_headers, usual_scheme
from app.upstream.stream import Pieces
from app.upstream.token_refusal import REFUSALS, is_about_session, is_about_token

_REPEATABLE = frozenset({408, 500, 502, 504})
_BARE_400 = ("", "400 bad request", "bad request")
# The words of a refusal that a new token may mend: worth a moment, no more.
_REFUSAL_PATIENCE_S = 5.0
# After the last event of a stream, the end of its body comes at once or not at all.
_DRAIN_S = 1.0
_MOST_DRAINED = 64 * 1024


def _is_repeatable(response: requests.Response) -> bool:
    """Whether it may be a passing trouble: a 400 without a body is no refusal (contract §10.2)."""
    is_mute = response.status_code == 400 and response.headers.get("Content-Length") == "0"
    return is_mute or response.status_code in _REPEATABLE


@dataclass(slots=True)
class UpstreamAnswer:
    """Copilot's answer: status, headers (case-insensitive) and a body that is read once, whole or piece by piece.

    idle_timeout_s: for a silence, and for a whole body. answer_timeout_s: for a streamed one, whatever comes.
    reel: what is to record the answer, if anything is.
    hint: a sentence that may explain a refusal (this machine's clock, our configuration), else empty.
    on_end: is called once, when nothing more of it is wanted.
    """

    response: requests.Response
    idle_timeout_s: float
    answer_timeout_s: float
    hint: str = ""
    reel: Reel | None = None
    on_end: Callable[[], None] | None = None
    _pieces: Pieces | None = None
    _is_draining: bool = False
    _heard: Callable[[bytes], object] = lambda _piece: None

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
            content = read_whole(self.response, within_s=self.idle_timeout_s)
            if self.reel is not None:
                self.reel.add(content)
                self.reel.ended("whole")
            return content
        except GatewayError as error:
            if self.reel is not None:
                self.reel.ended("silent" if isinstance(error, UpstreamTimeoutError) else "cut")
            raise
        finally:
            self.close()

    def iter_bytes(self, *, silence_s: float) -> Pieces:
        """The body as it comes; NOTHING_CAME (b"") whenever nothing came for `silence_s`.

        Raises: UpstreamTimeoutError, UpstreamProtocolError.
        """
        self._pieces = Pieces(
            self.response,
            silence_s=silence_s,
            idle_s=self.idle_timeout_s,
            answer_s=self.answer_timeout_s,
            reel=self.reel,
        )
        return self._pieces

    def finish(
        self, heard: Callable[[bytes], object] = lambda _piece: None, over: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing more is wanted, for by its protocol the answer is complete: read over the end of the body, so that
        the connection can serve again. Never waits; what has not come yet is waited for in the background, shortly.

        heard: gets what is read over. over: is called at the end of that.
        """
        self._heard = heard
        self._tell_end()
        if self._drain(0.0):
            self.close()
            over()
        else:
            self._is_draining = True
            threading.Thread(target=self._drain_and_close, args=(over,), name="draining", daemon=True).start()

    def close(self) -> None:
        """Give the connection back, or cut it if the body was not read to its end. May be called twice."""
        try:
            if not self._is_draining:
                self.response.close()
        finally:
            self._tell_end()

    def _tell_end(self) -> None:
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()

    def _drain(self, within_s: float) -> bool:
        """Whether there is nothing to wait for (any more)."""
        if self._pieces is None or not set_patience(self.response.raw, within_s):
            return True
        ends_at = time.monotonic() + within_s
        left = _MOST_DRAINED
        try:
            for piece in self._pieces:
                self._heard(piece)
                left -= len(piece)
                if left < 0:
                    return True  # that is no end: it is cut
                if time.monotonic() >= ends_at:
                    return False
        except GatewayError:
            pass
        return True

    def _drain_and_close(self, over: Callable[[], None]) -> None:
        try:
            self._drain(_DRAIN_S)
        finally:
            self.response.close()
            over()


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
        self._schemes: dict[str, Scheme] = {}

    def require_token(self) -> None:
        """Nothing, if calls could be made. Raises: SignInRequiredError, AccountError, UpstreamError."""
        self._tokens.current()

    def address(self, token: CopilotToken) -> str:
        """The host for calls with this token. Raises: LocalSettingError if none is known."""
        base = self._settings.copilot_api_base_url or token.api_base or self._settings.copilot_default_url
        if base is None:
            raise LocalSettingError(
                Sentence(
                    "%(host)s names no host of Copilot, and there is none that it implies. Set COPILOT_API_BASE_URL.",
                    host=self._settings.github_api_base_url,
                )
            )
        return base

    def send(self, call: Call, on_repeat: Callable[[str], None] = lambda _why: None) -> UpstreamAnswer:
        """Send the call; an error status is an answer like any other.

        on_repeat: is told why, whenever it is sent again.

        Raises: SignInRequiredError, AccountError, UpstreamConnectError, UpstreamTimeoutError.
        """
        token = self._tokens.current()
        initiator = call.initiator
        attempts_left = self._settings.upstream_retries if call.may_repeat else 0
        is_replayed = is_renewed = False
        while True:
            try:
                response = self._send_in_scheme(call, token, initiator)
            except UpstreamConnectError as error:
                if not attempts_left:
                    raise
                self._note_retry(call, error.code)
                on_repeat(error.code)
            else:
                if call.session is not None and not is_renewed and self._is_about_session(response):
                    is_renewed = True
                    call.session.token = call.session.renew()
                    on_repeat("session renewed")
                    continue
                if response.status_code in REFUSALS and self._is_about_token(response):
                    if is_replayed:
                        self._tokens.renewals.note_refused(call.path, token.fingerprint)
                    else:
                        renewed = self._tokens.renew(token, endpoint=call.path)
                        if renewed is not token:
                            is_replayed = True
                            token = renewed
                            on_repeat("token renewed")
                            continue
                elif response.status_code < 500:
                    self._tokens.renewals.note_served(call.path)
                if not _is_repeatable(response) or not attempts_left:
                    return UpstreamAnswer(
                        response,
                        self._settings.upstream_idle_timeout_s,
                        self._settings.upstream_answer_timeout_s,
                        self._hint(response.status_code, token),
                    )
                response.close()
                self._note_retry(call, str(response.status_code))
                on_repeat(str(response.status_code))
            attempts_left -= 1
            # What we repeat on our own account is no second request of the person (contract §5.5).
            initiator = "agent" if initiator else None
            self._sleep(self._jitter(0.3, 1.0))

    def _is_about_token(self, response: requests.Response) -> bool:
        self._read_refusal(response)
        return is_about_token(response.status_code, response.content)

    def _is_about_session(self, response: requests.Response) -> bool:
        if response.status_code not in (400, 401, 403):
            return False
        self._read_refusal(response)
        return is_about_session(response.content)

    def _send_in_scheme(self, call: Call, token: CopilotToken, initiator: Initiator | None) -> requests.Response:
        """In the scheme that the host is known for, and in the other one if that is refused for its form."""
        response = self._send_once(call, token, initiator)
        if token.direct and self._is_about_scheme(response):
            self._change_scheme(token)
            response = self._send_once(call, token, initiator)
            if response.status_code == 401 or self._is_about_scheme(response):
                self._change_scheme(token)  # that was not it
        return response

    def _is_about_scheme(self, response: requests.Response) -> bool:
        """Whether the authorization was refused for its form. Hosts changed their mind about it (contract §11.4)."""
        if response.status_code != 400:
            return False
        self._read_refusal(response)
        said = response.content.decode("utf-8", "replace").strip().lower()
        return "authorization header is badly formatted" in said or said in _BARE_400

    def _change_scheme(self, token: CopilotToken) -> None:
        base = self.address(token)
        self._schemes[base] = "token" if self._scheme(token, base) == "Bearer" else "Bearer"

    def _scheme(self, token: CopilotToken, base: str) -> Scheme:
        return (self._schemes.get(base) if token.direct else None) or usual_scheme(token, base)

    def _read_refusal(self, response: requests.Response) -> None:
        # Nothing of this answer has been passed on. Its body must stay readable in case it is the last one.
        with contextlib.suppress(UpstreamError):  # a refusal without its words is a refusal
            read_whole(response, within_s=min(_REFUSAL_PATIENCE_S, self._settings.upstream_idle_timeout_s))

    def _send_once(self, call: Call, token: CopilotToken, initiator: Initiator | None) -> requests.Response:
        base = self.address(token)
        scheme = self._scheme(token, base)
        idle_s = self._settings.upstream_idle_timeout_s
        return self._outbound.send(
            "GET" if call.body is None else "POST",
            base + call.path,
            headers=copilot_headers(self._settings, token, call, initiator=initiator, scheme=scheme),
            body=call.body,
            connect_timeout_s=self._settings.upstream_connect_timeout_s,
            read_timeout_s=min(call.patience_s or idle_s, idle_s),
            stream=True,
        )

    def _hint(self, status: int, token: CopilotToken) -> str:
        if status == 401 and token.kind != "ghs":
            return skew_hint(token)
        if status in (401, 403) and token.kind == "ghs":
            return (
                " With an installation token: the GitHub App needs the permission “Copilot Requests”, and an owner of "
                "the organization has to allow Copilot requests of Apps."
            )
        if status == 421 and self._settings.copilot_api_base_url:
            return " COPILOT_API_BASE_URL names the host; unset it to use the one that GitHub names."
        return ""

    def _note_retry(self, call: Call, why: str) -> None:
        logger.warning("upstream call repeated", extra={"fields": {"path": call.path, "why": why}})
