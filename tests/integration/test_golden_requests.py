"""What the converters make of every fixture conversation is what the strict upstream takes."""

from __future__ import annotations

import json

import pytest
import requests

from app.converters.registry import UPSTREAMS
from tests.simulator.client import Simulator
from tests.support.exchanges import FIXTURES, PAIRS

EDITOR = {
    "Copilot-Integration-Id": "vscode-chat",
    "Editor-Version": "vscode/1.99.3",
    "Editor-Plugin-Version": "copilot-chat/0.26.7",
    "User-Agent": "GitHubCopilotChat/0.26.7",
    "X-GitHub-Api-Version": "2025-05-01",
    "Copilot-Vision-Request": "true",
}

UNPROVED = ("Invalid `signature`", "could not be verified", "was not issued")
"""The proofs of the fixtures are made up, and upstream sees that."""

NO_THOUGHT = "missing a thought_signature"
REFUSED = {
    "prefill": "prefill",  # for upstream to judge (conversion rules §2)
    # Gemini wants its own thought before each call of the round under way (contract §6.6); these calls are another
    # model's, made before the conversation came to Gemini.
    "thinking@gemini-3.1-pro-preview": NO_THOUGHT,
    "tool_custom@gemini-3.1-pro-preview": NO_THOUGHT,
    "torn_arguments@gemini-3.1-pro-preview": NO_THOUGHT,
}


@pytest.fixture(scope="module")
def upstream(simulator_process: Simulator) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    simulator_process.reset()
    headers = {**EDITOR, "Authorization": "token ghu_test_individual"}
    envelope = session.get(f"{simulator_process.api}/copilot_internal/v2/token", headers=headers).json()
    session.headers.update({**EDITOR, "Authorization": f"Bearer {envelope['token']}"})
    return session


@pytest.mark.parametrize(("client", "protocol"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_upstream_takes_what_was_converted(
    client: str, protocol: str, upstream: requests.Session, simulator_process: Simulator
) -> None:
    """Native requests are not among them: what a client gets wrong there is for upstream to say."""
    unexpected = []
    for path in (FIXTURES / "golden" / f"{client}-{protocol}").glob("*.request.json"):
        told = json.loads(path.read_bytes())
        if "refused" in told:
            continue
        url = simulator_process.capi + UPSTREAMS[protocol].path
        answer = upstream.post(url, json=told["body"], headers=told.get("headers", {}))
        reason = REFUSED.get(path.name.removesuffix(".request.json"), "")
        if answer.status_code != 200 and not (
            any(word in answer.text for word in UNPROVED) or (reason and reason in answer.text)
        ):
            unexpected.append(f"{path.name}: {answer.status_code} {answer.text[:200]}")
    assert unexpected == []
