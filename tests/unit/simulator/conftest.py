"""One simulator process for this folder; every test starts from a reset one."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.simulator.client import Simulator

Json = dict[str, Any]


def _messages(prompt: str | list[Json]) -> list[Json]:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


class Wire:
    """A bare client of the simulated services, with the headers a well-behaved editor sends."""

    def __init__(self, sim: Simulator, session: requests.Session) -> None:
        self.sim = sim
        self.session = session

    def token(self, github_token: str = "ghu_test_individual") -> Json:
        answer = self.session.get(
            self.sim.api + "/copilot_internal/v2/token", headers={"Authorization": f"token {github_token}"}
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def headers(self, account: str = "ghu_test_individual", **more: str | None) -> dict[str, str]:
        found: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token(account)['token']}",
            "Editor-Version": "vscode/1.112.0",
            "Copilot-Integration-Id": "vscode-chat",
            "X-GitHub-Api-Version": "2025-10-01",
        }
        found |= {name.replace("_", "-"): value for name, value in more.items()}
        return {name: value for name, value in found.items() if value is not None}

    def post(
        self,
        path: str,
        body: Json,
        account: str = "ghu_test_individual",
        host: str | None = None,
        header: dict[str, str | None] | None = None,
    ) -> requests.Response:
        headers = self.headers(account, **(header or {}))
        return self.session.post((host or self.sim.capi) + path, headers=headers, json=body, timeout=20)

    def chat(
        self,
        prompt: str | list[Json],
        model: str = "gpt-4.1",
        account: str = "ghu_test_individual",
        host: str | None = None,
        header: dict[str, str | None] | None = None,
        **fields: Any,
    ) -> requests.Response:
        body = {"model": model, "messages": _messages(prompt), **fields}
        return self.post("/chat/completions", body, account, host, header)

    def respond(
        self,
        given: str | list[Json],
        model: str = "gpt-5.2",
        account: str = "ghu_test_individual",
        header: dict[str, str | None] | None = None,
        **fields: Any,
    ) -> requests.Response:
        return self.post("/responses", {"model": model, "input": given, **fields}, account, None, header)

    def message(
        self,
        prompt: str | list[Json],
        model: str = "claude-sonnet-4.5",
        account: str = "ghu_test_individual",
        header: dict[str, str | None] | None = None,
        **fields: Any,
    ) -> requests.Response:
        body = {"model": model, "max_tokens": 4096, "messages": _messages(prompt), **fields}
        return self.post("/v1/messages", body, account, None, header)

    @staticmethod
    def events(answer: requests.Response) -> list[Json]:
        """The data of a stream with ``event:`` lines, each checked against its data."""
        assert answer.status_code == 200, answer.text
        answer.encoding = "utf-8"
        found = []
        for frame in answer.text.split("\n\n")[:-1]:
            name, _, data = frame.partition("\n")
            if name != "data: [DONE]":
                assert (name[:7], data[:6]) == ("event: ", "data: "), frame
                found.append(json.loads(data[6:]))
                assert found[-1].get("type") in (None, name[7:])
        return found

    def stream(self, prompt: str | list[Json], model: str = "gpt-4.1", **fields: Any) -> list[str]:
        """The data of every frame of a stream."""
        answer = self.chat(prompt, model, stream=True, **fields)
        assert answer.status_code == 200, answer.text
        answer.encoding = "utf-8"
        return [line[5:].strip() for line in answer.text.splitlines() if line.startswith("data:")]


@pytest.fixture(scope="session")
def running() -> Iterator[Simulator]:
    with Simulator.start() as sim:
        yield sim


@pytest.fixture
def sim(running: Simulator) -> Simulator:
    running.reset()
    return running


@pytest.fixture
def wire(sim: Simulator) -> Iterator[Wire]:
    with requests.Session() as session:
        session.trust_env = False
        yield Wire(sim, session)
