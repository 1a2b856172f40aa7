"""Every failure the bridge can report, as one tree.

::

    GatewayError
    ├─ ClientError                      the caller can fix it
    │  ├─ InvalidRequestError      400  a field is missing, of the wrong type or unusable
    │  ├─ UnsupportedFeatureError  400  understood, but cannot be carried to the model
    │  ├─ UnauthorizedError        401  no key, or a wrong one
    │  ├─ ForbiddenError           403  a right key from a place where it does not count
    │  ├─ NotFoundError            404
    │  ├─ MethodNotAllowedError    405
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
    └─ StoreError                  503  our own state cannot be read or written

Raised anywhere, rendered in one place per door: the codec of the client's protocol turns an error into its envelope.
An error carries no protocol words, only what happened (`message`), a stable `code` and the field it is about (`param`).

``403`` for a missing sign-in is deliberate: the SDKs neither retry it nor take it for a wrong API key, as with 401.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar


class GatewayError(Exception):
    """Base of all errors that a client may see.

    message: one sentence (or two) in plain words: what happened, whose fault, what to do next. Never a secret.
    param:   the request field at fault, e.g. ``"messages"``.
    code:    stable machine-readable word, e.g. ``"model_not_found"``.
    retry_after: value for the ``Retry-After`` header, verbatim (seconds or an HTTP date).
    details: machine-readable facts that a client acts on, for protocols whose envelope has room for them.
    """

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
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.details = details
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


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

    status = 401
    code = "invalid_api_key"


class ForbiddenError(ClientError):
    """The key is right, but not for this caller or from this place."""

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


class PayloadTooLargeError(ClientError):
    """The body is larger than ``MAX_BODY_BYTES``, or than upstream takes."""

    status = 413
    code = "request_too_large"


class UnsupportedMediaTypeError(ClientError):
    """The body is encoded in a way that the bridge does not read."""

    status = 415
    code = "unsupported_media_type"


class NoWebSocketError(ClientError):
    """A WebSocket was asked for. Codex takes 426, and no other status, as the sign to go on over HTTP at once."""

    status = 426
    code = "websocket_not_supported"


class AccountError(GatewayError):
    """The GitHub account behind the bridge cannot be used: licence, policy, revoked token."""

    status = 403
    code = "copilot_account"
    log_level = logging.WARNING


class SignInRequiredError(AccountError):
    """Nobody is signed in to GitHub (any more): the operator must visit the sign-in page.

    The message names the path; the door that renders it adds the address under which the client reached us.
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


class UpstreamConnectError(UpstreamError):
    """No connection to upstream, or it broke before an answer began."""

    code = "upstream_unreachable"


class UpstreamTimeoutError(UpstreamError):
    """Upstream did not answer, or fell silent, for longer than the configured timeout."""

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

    status = 503
    code = "store_unavailable"
