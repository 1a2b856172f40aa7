"""Every failure the bridge can report, as one tree.

::

    GatewayError
    ├─ ClientError                      the caller can fix it
    │  ├─ InvalidRequestError      400  a field is missing, of the wrong type or unusable
    │  ├─ UnsupportedFeatureError  400  understood, but cannot be carried to the model
    │  ├─ UnauthorizedError        401  no key, or a wrong one
    │  ├─ ForbiddenError           403  a right key from a place where it does not count
    │  ├─ TooManyKeysError         429  wrong keys, one after the other
    │  ├─ NotFoundError            404
    │  ├─ MethodNotAllowedError    405
    │  ├─ SlowBodyError            408  the body does not come
    │  ├─ PayloadTooLargeError     413
    │  ├─ UnsupportedMediaTypeError 415
    │  └─ NoWebSocketError         426  the same over plain HTTP
    ├─ AccountError                403  the operator must act: sign in, licence, policy
    │  └─ SignInRequiredError      403  … by visiting the sign-in page
    ├─ UpstreamError                    GitHub or Copilot failed
    │  ├─ UpstreamStatusError           … with a status that is kept
    │  ├─ UpstreamConnectError     502  no connection
    │  ├─ UpstreamTimeoutError     504  no answer in time
    │  └─ UpstreamProtocolError    502  an answer that makes no sense, or ends too early
    ├─ StoreError                  503  our own state cannot be read or written
    │  └─ DatabaseError            503  … that of the database
    ├─ OverloadedError             503  this worker has all it can hold
    │  └─ BusyError                503  as many calls to Copilot as the operator allows (529 for Anthropic's clients)
    └─ RestartingError             503  this worker is stopping; another one will serve

Raised anywhere, rendered in one place: the codec of the client's dialect turns an error into its envelope.
An error carries no protocol words, only what happened (`message`), a stable `code` and the field it is about (`param`).

``403`` for a missing sign-in is deliberate: the SDKs neither retry it nor take it for a wrong API key, as with 401.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from app.masking import clean


class Sentence(str):
    """English words for people, which a page can show in another language.

    To everybody else it is a plain string. Pages translate `template` (the id in the catalogue) and then fill in
    `values`; a value may be a Sentence itself.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, **values: object) -> Sentence:
        sentence = super().__new__(cls, template % values if values else template)
        sentence.template = template
        sentence.values = values
        return sentence

    def format(self, *values: object, **named: object) -> str:
        """marshmallow does so with everything that its fields say. A sentence has its values already."""
        return self if "{" not in self else super().format(*values, **named)

    @classmethod
    def joined(cls, *parts: str, by: str = " ") -> Sentence:
        """Sentences one behind the other; those that say nothing are left out."""
        values = {f"part{at}": part for at, part in enumerate(parts) if part}
        return cls(by.join(f"%({name})s" for name in values), **values)

    def packed(self) -> list[Any]:
        """As JSON can hold it; `unpacked` makes it a Sentence again."""
        values = {
            name: value.packed() if isinstance(value, Sentence) else str(value) for name, value in self.values.items()
        }
        return [self.template, values]

    @classmethod
    def unpacked(cls, packed: Any) -> str:
        """What was packed. A string is what it says: older versions stored sentences so."""
        if not isinstance(packed, list):
            return str(packed)
        template, values = packed
        return cls(template, **{name: cls.unpacked(value) for name, value in values.items()})


def sentence_of(error: Exception) -> str:
    """What an error says, as a `Sentence` if it was made of one; ``str(error)`` is never one."""
    if isinstance(error, GatewayError):
        return error.message
    said = error.args[0] if error.args else None
    return said if isinstance(said, str) else str(error)


class GatewayError(Exception):
    """Base of all errors that a client may see.

    message: one sentence (or two) in plain words: what happened, whose fault, what to do next. Never a secret.
             A `Sentence` where a page may show it.
    param:   the request field at fault, e.g. ``"messages"``.
    code:    stable machine-readable word, e.g. ``"model_not_found"``.
    retry_after: value for the ``Retry-After`` header, verbatim (seconds or an HTTP date).
    details: machine-readable facts that a client acts on, for protocols whose envelope has room for them.
    quotes: whether `message` may hold what a client or upstream said, and with it a piece of a prompt. It is for the
            client alone then: the log has the code.
    """

    quotes: ClassVar[bool] = True
    status: int = 500
    code: str = "internal_error"
    log_level: ClassVar[int] = logging.ERROR

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        self.message = message
        super().__init__(self.message)
        self.param = param
        self.retry_after = retry_after
        self.details = details
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    @property
    def message(self) -> str:
        return self._message

    @message.setter
    def message(self, message: str) -> None:
        # Whatever upstream or a client said in it: no error carries a secret, or a whole prompt, to anybody.
        self._message = clean(message)

    @property
    def own_words(self) -> str | None:
        """The message, if it may stand in the log."""
        return None if self.quotes else self.message


class ClientError(GatewayError):
    """The caller sent something that only the caller can mend."""

    status = 400
    code = "invalid_request"
    log_level = logging.INFO


class InvalidRequestError(ClientError):
    """A field is missing, has the wrong type, or holds something unusable."""


class UnsupportedFeatureError(ClientError):
    """The request is well-formed, but what it asks for cannot be carried to the model."""

    code = "unsupported_feature"


class UnauthorizedError(ClientError):
    """No API key, or a wrong one."""

    quotes = False
    status = 401
    code = "invalid_api_key"


class TooManyKeysError(UnauthorizedError):
    """Wrong keys have come from this address, one after the other: the next ones have to wait."""

    status = 429
    code = "too_many_wrong_keys"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            Sentence(
                "Too many wrong API keys came from this address. Wait %(seconds)s seconds, then send the right one: "
                "the bridge's own API_KEY.",
                seconds=wait_s,
            ),
            code=self.code,
            retry_after=str(wait_s),
        )


class ForbiddenError(ClientError):
    """The key is right, but not for this caller or from this place."""

    quotes = False
    status = 403
    code = "forbidden"


class NotFoundError(ClientError):
    """No such route, model or mapping."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(ClientError):
    """The route exists, the method does not."""

    status = 405
    code = "method_not_allowed"


class SlowBodyError(ClientError):
    """The body did not come in time. SDKs try again after a 408."""

    quotes = False
    status = 408
    code = "request_timeout"


class PayloadTooLargeError(ClientError):
    """The body is larger than ``MAX_BODY_BYTES``, or than upstream takes."""

    quotes = False
    status = 413
    code = "request_too_large"


class UnsupportedMediaTypeError(ClientError):
    """The body is encoded in a way that the bridge does not read."""

    status = 415
    code = "unsupported_media_type"


class NoWebSocketError(ClientError):
    """A WebSocket was asked for. Codex takes 426, and no other status, as the sign to go on over HTTP at once."""

    quotes = False
    status = 426
    code = "websocket_not_supported"


class AccountError(GatewayError):
    """The GitHub account behind the bridge cannot be used: licence, policy, revoked token."""

    quotes = False
    status = 403
    code = "copilot_account"
    log_level = logging.WARNING


class SignInRequiredError(AccountError):
    """Nobody is signed in to GitHub (any more): the operator must visit the sign-in page.

    The message names the path; the endpoint that renders it adds the address under which the client reached us.
    """

    code = "sign_in_required"
    path = "/auth/device"


class UpstreamError(GatewayError):
    """GitHub or Copilot failed."""

    status = 502
    code = "upstream_error"
    log_level = logging.WARNING


class UpstreamStatusError(UpstreamError):
    """Upstream answered with an error status, which the client gets to see."""


class LocalSettingError(UpstreamError):
    """A setting of this machine (proxy, CA file) cannot be used, so that nothing was sent. Trying again is no use."""

    quotes = False
    code = "local_setting"


class UpstreamConnectError(UpstreamError):
    """No connection to upstream, or it broke before an answer began."""

    quotes = False
    code = "upstream_unreachable"


class UpstreamTimeoutError(UpstreamError):
    """Upstream did not answer, or fell silent, for longer than the configured timeout."""

    quotes = False
    status = 504
    code = "upstream_timeout"


class UpstreamProtocolError(UpstreamError):
    """Upstream's answer is torn, out of order, ends too early or is not what the protocol says."""

    code = "upstream_protocol_error"


def broken_off(said: str = "") -> UpstreamProtocolError:
    """The error that ends a stream which Copilot did not. said: a sentence about what came instead.

    There is no status in a stream: opencode and pi see by the words "connection lost" that another try may help.
    """
    what = "Connection lost: GitHub Copilot broke off before the answer was complete."
    return UpstreamProtocolError(" ".join(filter(None, (what, said, "Try again."))))


class StoreError(GatewayError):
    """Our own state (SQLite or Redis) cannot be read or written."""

    quotes = False
    status = 503
    code = "store_unavailable"


class DatabaseError(StoreError):
    """The database (SQLite or PostgreSQL) cannot be read or written."""

    code = "database_unavailable"


class ClientGone(BaseException):
    """The client has hung up while the bridge was still at work on its answer, which nobody wants any more.

    Thrown into whoever waits. No Exception, so that no part of the bridge takes it for the failure of a part.
    """


CLIENT_GONE = "client_gone"
"""What the log says of such a request, as `error`."""
CLIENT_GONE_STATUS = 499


class OverloadedError(GatewayError):
    """This worker has all it can hold: connections, or memory. Nothing was done, and another try may find room."""

    quotes = False
    status = 503
    code = "overloaded"
    log_level = logging.WARNING

    def __init__(
        self, message: str, *, retry_after: str = "5", status: int | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, retry_after=retry_after, status=status, code=code)


class BusyError(OverloadedError):
    """As many calls to Copilot are under way as the operator allows, and there is no room, or no time, to wait."""

    code = "bridge_busy"


class RestartingError(GatewayError):
    """The worker stops and cannot wait for this answer any longer. Another try finds another worker."""

    status = 503
    code = "restarting"
    log_level = logging.WARNING
