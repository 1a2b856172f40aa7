"""The headers of a Copilot call (contract §5), made from plain facts. The only place that knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from app.auth.copilot_token import CopilotToken
from app.settings import Settings

Initiator = Literal["user", "agent"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call to Copilot.

    initiator: who caused it (§5.5; None where it is not billed). interaction_id: the same for all calls of one turn.
    has_images: asks for the vision header (§5.7). extra_headers: what the catalogue wants sent with this model.
    patience_s: the longest silence, where it is not the configured one.
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

    def carrying(self, body: bytes, headers: Mapping[str, str]) -> Call:
        """The same call with this body, and these headers more."""
        return replace(self, body=body, extra_headers={**self.extra_headers, **headers})


def copilot_headers(
    settings: Settings, token: CopilotToken, call: Call, *, initiator: Initiator | None
) -> dict[str, str]:
    """All headers of one attempt. `initiator` may differ from the call's when an attempt is repeated."""
    intent = call.intent or settings.copilot_intent
    headers = dict(call.extra_headers)
    headers |= {
        "Authorization": f"Bearer {token.value.reveal()}",
        "Accept": "text/event-stream" if call.stream else "application/json",
        "Accept-Encoding": "identity" if call.stream else "gzip, deflate",
        "Accept-Language": "en",  # its absence looks like a stale client to the CDN in front (§5.4)
        "User-Agent": settings.copilot_user_agent,
        "OpenAI-Intent": intent,
        "X-Interaction-Type": intent,
        "X-Request-Id": call.request_id,
        "X-Agent-Task-Id": call.request_id,
        "X-GitHub-Api-Version": settings.copilot_api_version,
    }
    if not token.direct:
        # A GitHub token used directly is no editor sign-in, and Copilot checks the two against each other (§2.7).
        headers |= {
            "Copilot-Integration-Id": settings.copilot_integration_id,
            "Editor-Version": settings.editor_version,
            "Editor-Plugin-Version": settings.editor_plugin_version,
        }
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if initiator is not None:
        headers["X-Initiator"] = initiator
    if call.interaction_id is not None:
        headers["X-Interaction-Id"] = call.interaction_id
    if call.has_images:
        headers["Copilot-Vision-Request"] = "true"
    return headers
