"""Starts the simulator as a process of its own and drives its control port; what tests import."""

import contextlib
import http.client
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

_ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]


class ControlError(RuntimeError):
    """The control port refused a call."""


class WaitTimeout(AssertionError):
    """A counter did not reach its value in time; the message shows the state."""


class Simulator:
    """A running simulator.

    ``with Simulator.start() as sim:`` gives one whose process ends with the block (or with the test process).
    """

    def __init__(self, urls: dict[str, str], process: "subprocess.Popen[str] | None" = None) -> None:
        self.urls = urls
        self.web = urls["web"]
        self.api = urls["api"]
        self.capi = urls["capi"]
        self.capi_business = urls["capi_business"]
        self.control = urls["control"]
        self.process = process

    # -- life ------------------------------------------------------------------------------------------------------

    @classmethod
    def start(cls, *, port_base: int = 0, config: Json | None = None, demo: bool = False) -> "Simulator":
        """Start a process; ``config`` holds knobs that also survive :meth:`reset`."""
        command = [sys.executable, "-m", "tests.simulator", "--exit-with-stdin", "--port-base", str(port_base)]
        with contextlib.ExitStack() as files:
            if config:
                file = files.enter_context(tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8"))
                json.dump(config, file)
                file.flush()
                command += ["--config", file.name]
            if demo:
                command.append("--demo")
            process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            line = process.stdout.readline()  # printed after the config file was read
        if not line:
            cls._end(process)
            raise RuntimeError("the simulator did not start")
        return cls(json.loads(line), process)

    @staticmethod
    def _end(process: "subprocess.Popen[str]") -> None:
        if process.stdin is not None:
            process.stdin.close()  # it was started with --exit-with-stdin
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def stop(self) -> None:
        if self.process is not None:
            self._end(self.process)
            self.process = None

    def __enter__(self) -> "Simulator":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def settings_env(self) -> dict[str, str]:
        """Environment that points the gateway here. The Copilot URL comes with the token envelope, so it is not set."""
        return {"GITHUB_BASE_URL": self.web, "GITHUB_API_BASE_URL": self.api}

    # -- plumbing --------------------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Json | None = None, *, timeout: float = 30, accept: tuple[int, ...] = (200,)
    ) -> tuple[int, Any]:
        """One control call on a connection of its own (safe from any thread, blind to proxy settings)."""
        connection = http.client.HTTPConnection(urlsplit(self.control).netloc, timeout=timeout)
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"content-type": "application/json", "connection": "close"})
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status not in accept:
            raise ControlError(f"{method} {path}: {answer.status} {value}")
        return answer.status, value

    def _get(self, where: str, /, **query: Any) -> Any:
        given = {name: value for name, value in query.items() if value is not None}
        return self.call("GET", where + ("?" + urlencode(given, quote_via=quote) if given else ""))[1]

    def _post(self, path: str, body: Json | None = None) -> Any:
        return self.call("POST", path, body or {})[1]

    # -- everything ------------------------------------------------------------------------------------------------

    def reset(self) -> None:
        """Back to the start: knobs, accounts, faults, gates, devices, tokens, records, ledger."""
        self._post("/reset")

    def config(self, **knobs: Any) -> Json:
        """Set knobs (none: just read them all)."""
        return dict(self._post("/config", knobs) if knobs else self._get("/config"))

    def catalogue(
        self, *, add: list[Json] | None = None, remove: list[str] | None = None, patch: dict[str, Json] | None = None
    ) -> None:
        """Change the model catalogue: new entries, ids to remove, merges per id (null deletes a key)."""
        self.config(catalogue={"add": add or [], "remove": remove or [], "patch": patch or {}})

    # -- watching --------------------------------------------------------------------------------------------------

    def requests(self, path: str | None = None, *, host: str | None = None, clear: bool = False) -> list[Json]:
        """Recorded requests, oldest first: seq, time, host, method, path, query, headers, header, body,
        json, status."""
        return list(self._get("/requests", path=path, host=host, clear="1" if clear else None))

    def last_request(self, path: str | None = None) -> Json:
        return self.requests(path)[-1]

    def state(self) -> Json:
        """Counters, open gates and the ledger."""
        return dict(self._get("/state"))

    def ledger(self) -> Json:
        return dict(self.state()["ledger"])

    def bills(self) -> dict[str, int]:
        """What each request cost that is billed in credits, in nano-credits, by its id."""
        return dict(self._get("/bills"))

    def billed_tokens(self) -> dict[str, int]:
        """How many tokens each of these requests came to, in and out, by its id."""
        return dict(self._get("/bills", of="tokens"))

    def wait(self, counter: str, at_least: float = 1, timeout: float = 10) -> Json:
        """Block until a counter of :meth:`state` (``ledger.x``, ``gates.x`` too) reaches a value."""
        query = urlencode({"counter": counter, "at_least": at_least, "timeout": timeout})
        status, state = self.call("GET", f"/wait?{query}", timeout=timeout + 30, accept=(200, 408))
        if status == 408:
            raise WaitTimeout(f"{counter} did not reach {at_least} within {timeout} s: {state}")
        return dict(state)

    # -- sign-in ---------------------------------------------------------------------------------------------------

    def devices(self) -> list[Json]:
        return list(self._get("/device"))

    def approve_device(self, user_code: str | None = None) -> Json:
        """The person approves the newest (or the given) code."""
        return self._decide("approve", user_code)

    def deny_device(self, user_code: str | None = None) -> Json:
        return self._decide("deny", user_code)

    def expire_device(self, user_code: str | None = None) -> Json:
        return self._decide("expire", user_code)

    def _decide(self, action: str, user_code: str | None) -> Json:
        return dict(self._post("/device", {"action": action, "user_code": user_code}))

    def accounts(self) -> dict[str, Json]:
        return dict(self._get("/accounts"))

    def set_account(self, token: str, **changes: Any) -> Json:
        """Add an account or change one (kind, plan, shape, sku, host, premium={...}, chat={...} ...)."""
        return dict(self._post("/accounts", {"token": token, **changes}))

    def invalidate_copilot_tokens(self, account: str | None = None) -> int:
        """All issued Copilot tokens (of one account) now answer 401 `unauthorized: token expired`."""
        body = {"action": "invalidate_copilot", "account": account}
        return int(self._post("/tokens", body)["invalidated"])

    def revoke_github_token(self, token: str) -> None:
        self._post("/tokens", {"action": "revoke_github", "token": token})

    # -- faults ----------------------------------------------------------------------------------------------------

    def fault(
        self,
        preset: str | None = None,
        *,
        endpoint: str = "/chat/completions",
        model: str | None = None,
        host: str | None = None,
        times: int | None = 1,
        skip: int = 0,
        **fields: Any,
    ) -> None:
        """Script the next ``times`` matching requests (None: all). Fields: status, headers, body, content_type,
        reset, close, wait, knobs, at_byte, after_events, cut_kind, stream_error, stream_error_bare."""
        given = {"preset": preset} if preset else {}
        self._post(
            "/faults",
            {"endpoint": endpoint, "model": model, "host": host, "times": times, "skip": skip, **given, **fields},
        )

    def clear_faults(self) -> None:
        self.call("DELETE", "/faults")

    def pending_faults(self) -> list[Json]:
        return list(self._get("/faults")["pending"])

    def presets(self) -> list[str]:
        return list(self._get("/faults")["presets"])

    # -- gates -----------------------------------------------------------------------------------------------------

    def release(self, count: int = 1, name: str = "default") -> None:
        """Let ``count`` waits at a gate pass, now or later."""
        self._post("/gate", {"name": name, "release": count})

    def open_gate(self, name: str = "default") -> None:
        """Open a gate for good (until the next reset)."""
        self._post("/gate", {"name": name, "release": "all"})

    def gates(self) -> dict[str, int]:
        """How many wait at each gate."""
        return dict(self._get("/gate")["gates"])

    def wait_at_gate(self, name: str = "default", at_least: int = 1, timeout: float = 10) -> Json:
        return self.wait(f"gates.{name}", at_least, timeout)
