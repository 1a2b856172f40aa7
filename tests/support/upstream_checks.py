"""What the simulator's endpoints would say of a body, without a server."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace
from typing import Any

from tests.simulator import catalogue, knobs
from tests.simulator.chat import Chat
from tests.simulator.inference import Job, Protocol
from tests.simulator.messages import Messages
from tests.simulator.prompts import Directives
from tests.simulator.responses import Responses
from tests.simulator.state import World

_ENDPOINTS: dict[str, type[Protocol]] = {"chat": Chat, "messages": Messages, "responses": Responses}


@cache
def _world() -> World:
    return World()


def refusal(upstream: str, body: dict[str, Any]) -> str | None:
    """Upstream's words; None if it takes the body. The simulator is as strict as the contract says."""
    world, endpoint = _world(), _ENDPOINTS[upstream]()
    entry = catalogue.find(world.models, str(body.get("model")))
    settings = knobs.Settings(world.config)
    caller: Any = SimpleNamespace(settings=settings, account=SimpleNamespace(token="ghu_test"))
    request: Any = SimpleNamespace(header=lambda _name: None, headers={})
    job = Job(
        world,
        request,
        caller,
        entry or {"id": body.get("model")},
        settings,
        endpoint.dialect(entry or {}, settings),
        body,
        endpoint.in_chat_terms(body),
        Directives(),
        True,
    )
    found = endpoint.problem(job)
    return None if found is None else found[1] if isinstance(found[1], str) else json.dumps(found[1])
