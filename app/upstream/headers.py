"""The headers of a Copilot call (contract §5), made from plain facts. The only place that knows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import urlsplit

from app.auth.copilot_token import CopilotToken
from app.settings import Settings

Initiator = Literal["user", "agent"]
Scheme = Literal["Bearer", "token"]

# Hosts that want GitHub's own scheme with a GitHub token; an exchanged one is a Bearer everywhere (contract §11.4).
_TOKEN_HOSTS = frozenset({"api.business.githubcopilot.com", "api.enterprise.githubcopilot.com"})


@dataclass(slots=True)
class Session:
    """A session of auto mode that a call belongs to. renew: a new token, or None if the call has to do without."""

    token: str | None = field(repr=False)
    renew: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to Copilot.

    initiator: who caused it (contract §5.5; None: not billed). interaction_id: the same for all calls of one turn.
    has_images: asks for the vision header (contract §5.7). extra_headers: what the catalogue wants for this model.
    patience_s: the longest silence, where it is shorter than the configured one. session: of auto mode (contract
    §4.7). api_version: where a path wants another one than the configured. may_repeat: after a failure that may pass.
    asker: for whom, in the fair queue.
    """

    path: str
    request_id: str
    body: bytes | None = None
    stream: bool = False
    intent: str | None = None
    initiator: Initiator | None = None
    interaction_id: str | None = None
    has_images: bool = False
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    patience_s: float | None = None
    session: Session | None = None
    api_version: str | None = None
    content_type: str = "application/json"
    may_repeat: bool = True
    asker: str = ""

    def carrying(self, body: bytes, headers: Mapping[str, str]) -> Call:
        """The same call with this body, and these headers more."""
        return replace(self, body=body, extra_headers={**self.extra_headers, **headers})


def usual_scheme(token: CopilotToken, base: str) -> Scheme:
    """The scheme of ``Authorization`` for a token at a host."""
    return "token" if token.direct and urlsplit(base).hostname in _TOKEN_HOSTS else "Bearer"


def copilot_headers(
    settings: Settings, token: CopilotToken, call: Call, *, initiator: Initiator | None, scheme: Scheme = "Bearer"
) -> dict[str, str]:
    """All headers of one attempt. `initiator` may differ from the call's when an attempt is repeated."""
    intent = call.intent or settings.copilot_intent
    headers = dict(call.extra_headers)
    headers |= {
        "Authorization": f"{scheme} {token.value.reveal()}",
        "Accept": "text/event-stream" if call.stream else "application/json",
        "Accept-Encoding": "identity" if call.stream else "gzip, deflate",
        "Accept-Language": "en",  # its absence looks like a stale client to the CDN in front (contract §5.4)
        "User-Agent": settings.copilot_user_agent,
        "OpenAI-Intent": intent,
        "X-Interaction-Type": intent,
        "X-Request-Id": call.request_id,
        "X-Agent-Task-Id": call.request_id,
        "X-GitHub-Api-Version": call.api_version or settings.copilot_api_version,
    }
    # A GitHub token used directly is no editor sign-in; Copilot checks the two against each other (contract §2.7).
    kind = "copilot-developer-cli" if token.direct else "vscode-chat"
    headers["Copilot-Integration-Id"] = settings.copilot_integration_id or kind
    if not token.direct:
        headers |= {
            "Editor-Version": settings.editor_version,
            "Editor-Plugin-Version": settings.editor_plugin_version,
        }
    if call.body is not None:
        headers["Content-Type"] = call.content_type
    if initiator is not None:
        headers["X-Initiator"] = initiator
    if call.interaction_id is not None:
        headers["X-Interaction-Id"] = call.interaction_id
    if call.session is not None and call.session.token:
        headers["Copilot-Session-Token"] = call.session.token
    if call.has_images:
        headers["Copilot-Vision-Request"] = "true"
    return headers
