"""Everything the simulator remembers: knobs, accounts, tokens, devices, ledger, recorded requests (contract §13)."""

import base64
import copy
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from . import accounts, apps, catalogue, knobs
from .faults import Faults
from .gates import Gates
from .server import Request

COUNTERS = (
    "requests",
    "exchanges",
    "installation_tokens",
    "user_info",
    "catalogue",
    "device_codes",
    "device_polls",
    "chat",
    "responses",
    "messages",
    "count_tokens",
    "embeddings",
    "mcp",
    "streams",
    "open_streams",
    "finished_streams",
    "aborted_streams",
    "cut_streams",
    "aborted_requests",
)


@dataclass
class Device:
    """One device flow (contract §1)."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    created: float
    expires_in: float
    interval: float
    state: str = "pending"  # pending, approved, denied, expired, redeemed
    polls: list[float] = field(default_factory=list)
    token: str | None = None


@dataclass
class CopilotToken:
    """One issued Copilot token; ``dies_at`` is real time, whatever the skewed clock says."""

    text: str
    account: str
    dies_at: float
    alive: bool = True


#: path -> counter; failed calls count too, so that tests can assert how often something was tried
ROUTES = {
    "/copilot_internal/v2/token": "exchanges",
    "/copilot_internal/user": "user_info",
    "/models": "catalogue",
    "/login/device/code": "device_codes",
    "/login/oauth/access_token": "device_polls",
    "/chat/completions": "chat",
    "/responses": "responses",
    "/v1/messages": "messages",
    "/v1/messages/count_tokens": "count_tokens",
    "/embeddings": "embeddings",
    "/mcp": "mcp",
}


class World:
    """The shared state. Every change happens under ``cond`` and wakes those who wait for a counter."""

    def __init__(self, start_config: dict[str, Any] | None = None) -> None:
        knobs.check(start_config or {})
        self.start_config = start_config or {}
        self.cond = threading.Condition(threading.RLock())
        self.urls: dict[str, str] = {}
        self.epoch = 0
        self.gates = Gates(self.cond)
        self.reset()

    def reset(self) -> None:
        with self.cond:
            self.gates.abandon()
            self.config = {**knobs.defaults(), **copy.deepcopy(self.start_config)}
            self.accounts = accounts.planted()
            self.installation_ends: dict[str, float] = {}  # installation token -> when it ends, in real time
            self.models = catalogue.load()
            if self.config["catalogue"]:
                catalogue.change(self.models, self.config["catalogue"])
            self.tokens: dict[str, CopilotToken] = {}
            self.devices: list[Device] = []
            self.faults = Faults(self.cond)
            self.requests: list[dict[str, Any]] = []
            self.epoch += 1
            self.counters = dict.fromkeys(COUNTERS, 0)
            self.ledger: dict[str, Any] = {
                "premium_units": 0.0,
                "user_requests": 0,
                "agent_requests": 0,
                "searches": 0,
                "credits": 0.0,
                "by_account": {},
            }
            self.bills: dict[str, int] = {}  # request id -> what its answers cost, in nano-credits
            self.billed_tokens: dict[str, int] = {}  # and their tokens, in and out
            self.sequence = 0
            self.opaques: dict[str, str] = {}  # reasoning_opaque -> dialect that issued it
            self.thoughts: dict[str, str] = {}  # reasoning_opaque -> the reasoning text it went with
            self.item_ids: dict[str, str] = {}  # item id of /responses -> account it was issued to
            self.encrypted: dict[str, tuple[str, str]] = {}  # encrypted_content -> (account, item id)
            self.call_opaques: dict[str, str] = {}  # tool call id -> reasoning_opaque issued with it
            self.mcp_sessions: set[str] = set()
            self.sessions: dict[str, dict[str, float]] = {}  # auto mode: session token -> discounts
            self.session_ends: dict[str, float] = {}  # and when it ends, by the server's clock
            self.cond.notify_all()

    # -- clock and ids ---------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The server's clock, skewed on demand."""
        return time.time() + float(self.config["clock_skew_s"])

    def digest(self, purpose: str) -> bytes:
        """32 fresh bytes, the same ones in every run (a counter stands in for randomness)."""
        with self.cond:
            self.sequence += 1
            return hashlib.sha256(f"{purpose}:{self.sequence}".encode()).digest()

    def hex(self, purpose: str, length: int) -> str:
        text = ""
        while len(text) < length:
            text += self.digest(purpose).hex()
        return text[:length]

    def alnum(self, purpose: str, length: int) -> str:
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        raw = self.digest(purpose) + self.digest(purpose)
        return "".join(alphabet[byte % len(alphabet)] for byte in raw[:length])

    def blob(self, purpose: str, size: int = 300) -> str:
        """Base64 of so many bytes, and up to 23 more: 400 to 431 characters for the ids of contract §7.6."""
        seed = self.digest(purpose)
        return base64.b64encode(hashlib.shake_256(seed).digest(size + seed[0] % 24)).decode()

    def uuid(self, purpose: str) -> str:
        text = self.hex(purpose, 32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"

    # -- counters and records --------------------------------------------------------------------------------------

    def count(self, epoch: int | None = None, **changes: int) -> None:
        """Change counters; what began before a reset (an older ``epoch``) no longer counts."""
        with self.cond:
            if epoch not in (None, self.epoch):
                return
            for name, step in changes.items():
                self.counters[name] += step
            self.cond.notify_all()

    def record(self, request: Request) -> dict[str, Any]:
        entry = {
            "host": request.port,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": request.headers,
            "header": request.lower,
            "json": request.json,
            "body": request.body.decode("utf-8", "replace"),
            "time": time.time(),
            "status": None,
        }
        with self.cond:
            entry["seq"] = self.counters["requests"]
            self.requests.append(entry)
            del self.requests[: -self.config["record_limit"]]
            route = ROUTES.get(request.path) or ("installation_tokens" if apps.is_mint(request) else None)
            self.count(requests=1, **({route: 1} if route else {}))
        return entry

    def snapshot(self) -> dict[str, Any]:
        with self.cond:
            gates = self.gates.waiting()
            return {
                **self.counters,
                "gate_waiting": sum(gates.values()),
                "gates": gates,
                "ledger": copy.deepcopy(self.ledger),
            }

    def wait_for(self, counter: str, at_least: float, timeout: float) -> tuple[bool, dict[str, Any]]:
        """Block until a counter of the snapshot (also ``ledger.x``, ``gates.x``) reaches a value."""

        def value() -> float:
            found: Any = self.snapshot()
            for part in counter.split("."):
                found = found.get(part, 0)
            return float(found)

        with self.cond:
            reached = self.cond.wait_for(lambda: value() >= at_least, timeout)
            return reached, self.snapshot()

    def pass_gate(self, name: str, client: socket.socket) -> bool:
        """Wait at a gate, but not for ever: a forgotten one must not hang a test run."""
        return self.gates.wait(name, client, float(self.config["gate_timeout_s"]))

    # -- knobs -----------------------------------------------------------------------------------------------------

    def settings(self) -> knobs.Settings:
        return knobs.Settings(self.config)

    def configure(self, changes: dict[str, Any]) -> None:
        knobs.check(changes)
        with self.cond:
            if changes.get("catalogue"):
                catalogue.change(self.models, changes["catalogue"])
            self.config.update(copy.deepcopy(changes))
            self.cond.notify_all()

    # -- tokens and money ------------------------------------------------------------------------------------------

    def add_account(self, token: str, changes: dict[str, Any]) -> accounts.Account:
        with self.cond:
            account = self.accounts.get(token) or accounts.Account(token)
            account = copy.deepcopy(account)
            accounts.apply(account, {name: value for name, value in changes.items() if name != "token"})
            self.accounts[token] = account
            return account

    def mint_github_token(self, device: Device) -> str:
        """A token for a finished device flow: a copy of the configured account (contract §1.6, §1.7)."""
        with self.cond:
            number = 1 + sum(1 for other in self.devices if other.token)
            if device.client_id == "Iv1.b507a08c87ecfe98":
                token, kind = f"ghu_test_device_{number:04d}", "ok"
            else:
                token, kind = f"gho_test_device_{number:04d}", "direct"
            account = copy.deepcopy(self.accounts[self.config["device_account"]])
            account.token = token
            if account.kind == "ok":
                account.kind = kind
            self.accounts[token] = account
            device.token, device.state = token, "redeemed"
            self._keep_ten(device)
            return token

    def _keep_ten(self, device: Device) -> None:
        """Contract §1.6: one sign-in more of this person and app ends the oldest."""
        mine = [one for one in self.devices if one.token and one.client_id == device.client_id]
        valid = [one for one in mine if self.accounts[str(one.token)].kind != "revoked"]
        for oldest in valid[: -self.config["most_sign_ins"]]:
            self.accounts[str(oldest.token)].kind = "revoked"

    def mint_copilot_token(self, account: accounts.Account) -> tuple[str, int]:
        """A token string in the ``k=v;...:mac`` form of contract §2.4, and its ``exp`` by the skewed clock."""
        lifetime = float(self.config["token_lifetime_s"])
        expires = int(self.now() + lifetime)
        tid = hashlib.sha256(account.token.encode()).hexdigest()[:32]
        plan = "business" if account.host == "capi_business" else "individual"
        text = (
            f"tid={tid};exp={expires};sku={account.sku};proxy-ep=proxy.{plan}.githubcopilot.com;st=dotcom;chat=1;"
            "cit=1;malfil=1;editor_preview_features=1;agent_mode=1;agent_mode_auto_approval=1;mcp=1;ccr=1;8kp=1;"
            f"ip=203.0.113.7;asn=AS64500:{self.hex('mac', 64)}"
        )
        with self.cond:
            self.tokens[text] = CopilotToken(text, account.token, time.time() + lifetime)
        return text, expires

    def book_search(self, account: accounts.Account) -> None:
        """A search of the MCP endpoint."""
        with self.cond:
            self.ledger["searches"] += 1
            book = self.ledger["by_account"].setdefault(account.token, _book())
            book["searches"] = book.get("searches", 0) + 1
            self.cond.notify_all()

    def book_credits(
        self, account: accounts.Account, nano_aiu: int, request_id: str | None = None, tokens: int = 0
    ) -> None:
        """What an answer cost on an account that is billed so; agents' calls like persons' (contract §10.8)."""
        if not account.in_credits:
            return
        credits = nano_aiu / 10**9
        with self.cond:
            if request_id:
                self.bills[request_id] = self.bills.get(request_id, 0) + nano_aiu
                self.billed_tokens[request_id] = self.billed_tokens.get(request_id, 0) + tokens
            account.credits_used = round(account.credits_used + credits, 9)
            if account.pool is None:
                account.premium.take(credits)
            self.ledger["credits"] = round(self.ledger["credits"] + credits, 9)
            book = self.ledger["by_account"].setdefault(account.token, _book())
            book["credits"] = round(book.get("credits", 0.0) + credits, 9)
            self.cond.notify_all()

    def bill(self, account: accounts.Account, units: float, by_user: bool) -> None:
        """The ledger of contract §13.10: only user-initiated requests cost premium units (contract §5.5, §10.5)."""
        with self.cond:
            books = [
                self.ledger,
                self.ledger["by_account"].setdefault(account.token, _book()),
            ]
            for book in books:
                book["user_requests" if by_user else "agent_requests"] += 1
                if by_user and not account.in_credits:
                    book["premium_units"] = round(book["premium_units"] + units, 4)
            if by_user and not account.in_credits:
                account.premium.take(units)
                if account.free:
                    account.chat.take(1)
            self.cond.notify_all()


def _book() -> dict[str, Any]:
    return {"premium_units": 0.0, "user_requests": 0, "agent_requests": 0}


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
