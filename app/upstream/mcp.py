"""Copilot's MCP endpoint: one call of one of its tools (contract §14.2; Model Context Protocol, "Streamable HTTP").

Every message is a POST. The answer is one JSON-RPC reply, as a JSON body or in an event stream. It is called without
any greeting, as Copilot's own clients do; a server that wants to be greeted, or to have its session named, says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from sseclient import SSEClient

from app.auth.copilot_token import CopilotTokens
from app.errors import UpstreamProtocolError, UpstreamStatusError, UpstreamTimeoutError
from app.github_hosts import mcp_url
from app.outbound import Outbound
from app.settings import Secret, Settings
from app.upstream.client import UpstreamAnswer
from app.version import VERSION

_VERSION: Final = "2025-06-18"
_PATIENCE_S: Final = 30.0
_LARGEST_ANSWER: Final = 4 * 1024 * 1024
_ABSENT: Final = frozenset({401, 403, 404, 405, 410, 501})
_METHOD_NOT_FOUND, _INVALID_PARAMS = -32601, -32602

Json = dict[str, Any]


class NotOfferedError(UpstreamStatusError):
    """The endpoint, or the tool, is not there for this account."""

    code = "mcp_not_offered"


class McpEndpoint:
    """Calls the tools of one toolset. One per process; safe for threads and greenlets."""

    def __init__(
        self,
        *,
        settings: Settings,
        outbound: Outbound,
        tokens: CopilotTokens,
        toolset: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._outbound = outbound
        self._tokens = tokens
        self._toolset = toolset
        self._monotonic = monotonic
        self._session: str | None = None

    def address(self) -> str | None:
        """Where it is; None where nothing implies an address. Raises: as `CopilotTokens.current`."""
        if self._settings.copilot_mcp_url:
            return self._settings.copilot_mcp_url
        base = self._settings.copilot_default_url or self._tokens.current().api_base
        return mcp_url(base) if base else None

    def call_tool(self, name: str, arguments: Json, *, request_id: str) -> Json:
        """The ``result`` of a call.

        Raises: NotOfferedError, UpstreamStatusError, UpstreamProtocolError, UpstreamTimeoutError, UpstreamConnectError,
        SignInRequiredError, AccountError.
        """
        secret = self._tokens.github_secret()
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name, "arguments": arguments}}
        answer = self._post(body, secret, request_id)
        if answer.status == 401 and (other := self._tokens.github_secret(other_than=secret)) != secret:
            answer.close()
            secret = other
            answer = self._post(body, secret, request_id)
        if self._wants_greeting(answer):
            self._greet(secret, request_id)
            answer = self._post(body, secret, request_id)
        return _result(self._reply(answer))

    def _post(self, body: Json, secret: Secret, request_id: str) -> UpstreamAnswer:
        url = self.address()
        if url is None:
            raise NotOfferedError("It is not known where Copilot's MCP endpoint is. Set COPILOT_MCP_URL.")
        headers = {
            "Authorization": f"Bearer {secret.reveal()}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": self._settings.copilot_user_agent,
            "X-MCP-Host": "github-coding-agent",
            "X-MCP-Toolsets": self._toolset,
            "X-Initiator": "agent",
            "X-Request-Id": request_id,
        }
        if self._session is not None:
            headers |= {"Mcp-Session-Id": self._session, "MCP-Protocol-Version": _VERSION}
        response = self._outbound.send(
            "POST",
            url,
            headers=headers,
            body=orjson.dumps(body),
            connect_timeout_s=self._settings.upstream_connect_timeout_s,
            read_timeout_s=_PATIENCE_S,
            stream=True,
        )
        return UpstreamAnswer(response, _PATIENCE_S, _PATIENCE_S)

    def _wants_greeting(self, answer: UpstreamAnswer) -> bool:
        """Whether it refuses because it does not know us: no session yet, or one that it has forgotten."""
        if answer.status == 404 and self._session is not None:
            answer.close()
            self._session = None
            return True
        if answer.status != 400:
            return False
        said = answer.read().lower()
        return b"session" in said or b"initializ" in said

    def _greet(self, secret: Secret, request_id: str) -> None:
        self._session = None
        client = {"name": "copilot-bridge", "version": VERSION}
        params = {"protocolVersion": _VERSION, "capabilities": {}, "clientInfo": client}
        body: Json = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
        answer = self._post(body, secret, request_id)
        session = answer.headers.get("Mcp-Session-Id")
        _result(self._reply(answer))
        if session and session.isascii() and session.isprintable():
            self._session = session
        self._post({"jsonrpc": "2.0", "method": "notifications/initialized"}, secret, request_id).close()

    def _reply(self, answer: UpstreamAnswer) -> Json:
        """The JSON-RPC reply in an answer. Raises: GatewayError."""
        try:
            if answer.status != 200:
                raise _refusal(answer)
            pieces = self._bounded(answer.iter_bytes(silence_s=_PATIENCE_S))
            if answer.content_type == "text/event-stream":
                texts: Iterator[str | bytes] = (event.data for event in SSEClient(pieces).events())
            else:
                texts = iter((b"".join(pieces),))
            for text in texts:
                if (reply := _reply_in(text)) is not None:
                    return reply
        finally:
            answer.close()
        raise UpstreamProtocolError("Copilot's MCP endpoint gave no reply to the call.")

    def _bounded(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        ends_at, size = self._monotonic() + _PATIENCE_S, 0
        for piece in pieces:
            size += len(piece)
            if size > _LARGEST_ANSWER:
                raise UpstreamProtocolError(
                    f"The answer of Copilot's MCP endpoint is larger than {_LARGEST_ANSWER} bytes."
                )
            if self._monotonic() > ends_at:
                raise UpstreamTimeoutError("Copilot's MCP endpoint did not answer in time.")
            yield piece


def _refusal(answer: UpstreamAnswer) -> UpstreamStatusError:
    if answer.status in _ABSENT:
        return NotOfferedError(f"Copilot's MCP endpoint is not there for this account (HTTP {answer.status}).")
    return UpstreamStatusError(
        f"Copilot's MCP endpoint refused the call (HTTP {answer.status}).",
        status=answer.status if answer.status == 429 else 502,
        retry_after=answer.headers.get("Retry-After"),
    )


def _reply_in(text: str | bytes) -> Json | None:
    """The reply in a message, or in one of a batch; None for requests and notifications of the server's own."""
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    for one in told if isinstance(told, list) else [told]:
        if isinstance(one, dict) and ("result" in one or "error" in one) and one.get("id") in (1, "1", None):
            return one
    return None


def _result(reply: Mapping[str, Any]) -> Json:
    error = reply.get("error")
    if error is not None:
        code, said = (error.get("code"), error.get("message")) if isinstance(error, dict) else (None, error)
        is_unknown = code == _METHOD_NOT_FOUND or (code == _INVALID_PARAMS and _names_no_tool(str(said)))
        raise (NotOfferedError if is_unknown else UpstreamStatusError)(
            f"Copilot's MCP endpoint refused the call: {said}", status=502
        )
    result = reply.get("result")
    if not isinstance(result, dict):
        raise UpstreamProtocolError("Copilot's MCP endpoint gave a reply without a result.")
    if result.get("isError") is True:
        raise _failed(result)
    return result


def _names_no_tool(said: str) -> bool:
    return "tool" in said.lower() and any(word in said.lower() for word in ("unknown", "not found", "no such"))


def _failed(result: Mapping[str, Any]) -> UpstreamStatusError:
    """A tool that failed tells so in the text of its result."""
    content = result.get("content")
    texts = [block.get("text") for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    said = " ".join(text for text in texts if isinstance(text, str))
    if _names_no_tool(said):
        return NotOfferedError(f"Copilot's MCP endpoint refused the call: {said}", status=502)
    is_limit = any(word in said.lower() for word in ("rate limit", "quota", "too many requests"))
    return UpstreamStatusError(f"Copilot's search failed: {said}", status=429 if is_limit else 502)
