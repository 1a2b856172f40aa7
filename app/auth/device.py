"""Device sign-in (contract §1): a code for the person, polling by the server, one sign-in at a time for all workers.

The running sign-in lives in the store, so that any worker can show it and a reload continues it. A background thread
(a greenlet under gevent) polls GitHub; it holds a lease, and whoever looks at the sign-in starts it again if it died
with its worker. The device code is a secret and stays in the store until the sign-in ends; nobody is ever shown it.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from dataclasses import fields as dataclass_fields
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import orjson

from app.auth.copilot_token import CopilotTokens
from app.auth.github import Answer, GitHub, expect_object
from app.auth.github_token import GitHubTokens
from app.errors import GatewayError, Sentence, UpstreamStatusError
from app.logs import audit, logger
from app.settings import Secret
from app.store.base import Store

State = Literal["pending", "done", "failed"]

_SENTENCES = ("message", "trouble")

_KEY = "device-sign-in"
_START_LEASE = "device-start"
_POLL_LEASE = "device-poll"
_LEASE_S = 20.0
_LEAST_AGE_S = 3.0
_WAIT_STEP_S = 0.05
# After so long whoever waits for another worker's code asks for one, whatever clocks say: that worker may be gone.
_TAKE_OVER_S = 5.0
_MOST_WAITS = round(_TAKE_OVER_S / _WAIT_STEP_S)
_SLOW_DOWN_S = 5.0
# Polling a moment later than allowed keeps a jittery network from earning a slow_down.
_MARGIN_SHARE = 0.2
# A finished sign-in stays visible for a while, so that every open tab learns of it.
_KEEP_S = 900.0


@dataclass(frozen=True, slots=True)
class SignIn:
    """One device sign-in. Times are epoch seconds by our clock; `interval_s` is the least pause between two polls."""

    id: str
    state: State
    user_code: str
    verification_uri: str
    started_at: float
    expires_at: float
    interval_s: float
    device_code: str = ""
    error: str = ""  # machine-readable: access_denied, expired_token, …
    message: str = ""  # for the person
    user: str = ""
    trouble: str = ""  # a passing problem while pending, e.g. no network
    actor: str = ""  # who began it, and from where, for the log
    address: str | None = None

    @classmethod
    def from_json(cls, text: str) -> SignIn | None:
        """A stored sign-in; None if it cannot be read: damaged, or written by a version with other fields."""
        try:
            told = orjson.loads(text)
            fields = {field.name: told[field.name] for field in dataclass_fields(cls) if field.name in told}
            for name in _SENTENCES:
                fields[name] = Sentence.unpacked(fields[name])
            sign_in = cls(**fields)
            times = (sign_in.started_at, sign_in.expires_at, sign_in.interval_s)
            is_whole = isinstance(sign_in.id, str) and all(isinstance(time, int | float) for time in times)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError):
            return None
        return sign_in if is_whole else None

    def to_json(self) -> str:
        fields = asdict(self)
        for name in _SENTENCES:
            value = getattr(self, name)
            fields[name] = value.packed() if isinstance(value, Sentence) else value
        return orjson.dumps(fields).decode()

    def public(self, now: float) -> dict[str, Any]:
        """What a browser may know: everything but the device code; remaining time in whole seconds."""
        return {
            "id": self.id,
            "state": self.state,
            "user_code": self.user_code if self.state == "pending" else "",
            "verification_uri": self.verification_uri,
            "expires_in": max(0, round(self.expires_at - now)),
            "error": self.error,
            "message": self.message,
            "user": self.user,
            "trouble": self.trouble,
        }


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="device-sign-in", daemon=True).start()


class Keeper(Protocol):
    """Where the token goes that GitHub granted."""

    def keep(self, token: str, sign_in: SignIn) -> str:
        """Keep it, and tell whose it is: the login, "" if that cannot be known. Raises: GatewayError."""


class OwnAccount:
    """The bridge's own sign-in.

    refuse: raises a GatewayError for a login that must not become the bridge's own.
    """

    def __init__(
        self,
        *,
        github: GitHub,
        github_tokens: GitHubTokens,
        copilot_tokens: CopilotTokens,
        refuse: Callable[[str], None] = lambda _login: None,
    ) -> None:
        self._github = github
        self._github_tokens = github_tokens
        self._copilot_tokens = copilot_tokens
        self._refuse = refuse

    def keep(self, token: str, sign_in: SignIn) -> str:
        user = self._login_of(token)
        self._refuse(user)
        former = self._github_tokens.current()
        before = former and (former.user or former.source)
        # Another tab may have started a new sign-in meanwhile; the grant is real all the same, so it is kept.
        self._github_tokens.save(token, user or None)
        self._copilot_tokens.accept_anew()
        audit("signed in", actor=sign_in.actor or "?", address=sign_in.address, before=before, after=user or "?")
        return user

    def _login_of(self, token: str) -> str:
        """The account's name, for display: nothing else may depend on it."""
        try:
            return login_of(self._github.account(Secret(token)))
        except GatewayError:
            return ""


def login_of(answer: Answer) -> str:
    """Whose account it is that GitHub told about; "" if it did not say."""
    login = (answer.body or {}).get("login")
    return login if isinstance(login, str) else ""


class DeviceSignIn:
    """Starts, continues and shows the device sign-in. scope: names it, if it is not the bridge's own."""

    def __init__(
        self,
        *,
        store: Store,
        github: GitHub,
        keeper: Keeper,
        scope: str = "",
        github_base_url: str = "https://github.com",
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        spawn: Callable[[Callable[[], None]], None] = _in_background,
    ) -> None:
        self._store = store
        self._github = github
        self._keeper = keeper
        self._key, self._start_lease, self._poll_lease = (
            f"{name}:{scope}" if scope else name for name in (_KEY, _START_LEASE, _POLL_LEASE)
        )
        self._github_base_url = github_base_url
        self._clock = clock
        self._sleep = sleep
        self._spawn = spawn

    def look(self) -> SignIn | None:
        """The running or just finished sign-in, without starting one. Sees to it that somebody polls for it."""
        current = self._read()
        if current is not None and current.state == "pending":
            if self._clock() >= current.expires_at + current.interval_s:  # its poller died, nobody looked in time
                return self._finish(current, "failed", error="expired_token", message=_WORDS["expired_token"])
            self._ensure_polling()
        return current

    def begin(self, *, actor: str = "", address: str | None = None, anew: bool = False, poll: bool = True) -> SignIn:
        """The running sign-in, or a new one; `anew` replaces a finished or failed one as well as a running one.

        actor, address: who wants it, as `audit` takes them.

        Two tabs or workers that begin at the same time get the same sign-in.
        Raises: UpstreamError when GitHub gives no code.
        """
        before = self._read()
        # A second click, or a second tab's, within moments means the sign-in that just began.
        is_old = before is not None and self._clock() - before.started_at >= _LEAST_AGE_S
        replaced_id = before.id if anew and before is not None and (is_old or before.state != "pending") else None
        owner = uuid.uuid4().hex
        waits_left = _MOST_WAITS
        while not (current := self._live_other_than(replaced_id)):
            if self._store.acquire(self._start_lease, owner=owner, ttl_s=_LEASE_S) or waits_left == 0:
                try:
                    # Another tab may have begun one between our look and our lease.
                    current = self._live_other_than(replaced_id) or self._request_code(actor, address)
                    # And it may have been slow, not gone: then its code is the one, for it is shown already.
                    current = self._live_other_than(replaced_id) or current
                    self._store.put(self._key, current.to_json(), ttl_s=current.expires_at - self._clock() + _KEEP_S)
                finally:
                    self._store.release(self._start_lease, owner=owner)
                break
            waits_left -= 1
            self._sleep(_WAIT_STEP_S)
        if poll:
            self._ensure_polling()
        return current

    def wait(self, sign_in: SignIn) -> SignIn:
        """Poll in the foreground until this sign-in ends (for the command line)."""
        self._poll_until_done()
        current = self._read()
        while current is not None and current.id == sign_in.id and current.state == "pending":
            self._sleep(1.0)  # another process polls
            self._ensure_polling()
            current = self._read()
        return current if current is not None and current.id == sign_in.id else replace(sign_in, state="failed")

    def cancel(self) -> None:
        """Drop the sign-in, running or finished."""
        self._store.delete(self._key)

    def _read(self) -> SignIn | None:
        text = self._store.get(self._key)
        return SignIn.from_json(text) if text else None

    def _live_other_than(self, replaced_id: str | None) -> SignIn | None:
        current = self._read()
        if current is None or current.id == replaced_id or current.state != "pending":
            return None
        return current if self._clock() < current.expires_at else None

    def _request_code(self, actor: str, address: str | None) -> SignIn:
        answer = self._github.request_device_code()
        body = answer.body or {}
        if answer.status != 200 or body.get("error") or not (body.get("device_code") and body.get("user_code")):
            raise _no_code(answer)
        now = self._clock()
        return SignIn(
            id=uuid.uuid4().hex,
            state="pending",
            user_code=str(body["user_code"]),
            verification_uri=_sign_in_link(body.get("verification_uri"), self._github_base_url),
            started_at=now,
            expires_at=now + _seconds(body.get("expires_in"), default=900, most=3600),
            interval_s=_seconds(body.get("interval"), default=5, most=120),
            device_code=str(body["device_code"]),
            actor=actor,
            address=address,
        )

    def _ensure_polling(self) -> None:
        # A poller that finds the lease taken ends at once, so starting one too many does no harm.
        self._spawn(self._poll_until_done)

    def _poll_until_done(self) -> None:
        owner = uuid.uuid4().hex  # per poller, not per worker: a second one here must not get the lease too
        if not self._store.acquire(self._poll_lease, owner=owner, ttl_s=_LEASE_S):
            return
        try:
            while (current := self._read()) is not None and current.state == "pending":
                self._store.acquire(self._poll_lease, owner=owner, ttl_s=_LEASE_S + current.interval_s)
                self._sleep(current.interval_s + min(1.0, current.interval_s * _MARGIN_SHARE))
                self._poll_once(current.id)
        except GatewayError as error:
            logger.error("sign-in polling stopped", extra={"fields": {"why": error.message}})
        except Exception:
            # The last guard of this thread: what it raises would be printed past the log's filter.
            logger.exception("sign-in polling failed")
        finally:
            self._store.release(self._poll_lease, owner=owner)

    def _poll_once(self, id: str) -> None:
        current = self._read()
        if current is None or current.id != id or current.state != "pending":
            return  # replaced or ended meanwhile; the loop looks again
        if self._clock() >= current.expires_at:
            self._finish(current, "failed", error="expired_token", message=_WORDS["expired_token"])
            return
        try:
            answer = self._github.poll_device_code(current.device_code)
            self._judge(current, answer)
        except GatewayError as error:  # no network, a proxy's page: not fatal (contract §1.5), but worth telling
            self._change(current, trouble=error.message)

    def _judge(self, current: SignIn, answer: Answer) -> None:
        """What one poll's answer means (contract §1.4)."""
        if answer.status == 429 or answer.status >= 500:
            self._change(
                current, trouble=Sentence("GitHub answered HTTP %(status)s; still trying.", status=answer.status)
            )
            return
        body = expect_object(answer, Sentence("sign-in"))
        token, error = body.get("access_token"), str(body.get("error") or "")
        if Secret.can_be_sent(token):
            self._complete(current, token)
        elif error == "authorization_pending":
            if current.trouble:
                self._change(current, trouble="")
        elif error == "slow_down":
            # The new minimum holds for the rest of this sign-in.
            told = body.get("interval")
            pause_s = _seconds(told, default=current.interval_s + _SLOW_DOWN_S, most=120)
            self._change(current, interval_s=max(pause_s, current.interval_s), trouble="")
        elif error or answer.status >= 400:
            words = _WORDS.get(error) or Sentence(
                "GitHub refused the sign-in (%(reason)s).", reason=error or answer.status
            )
            self._finish(current, "failed", error=error or "http_error", message=words)
        else:
            self._change(current, trouble=Sentence("GitHub's answer made no sense; still trying."))

    def _complete(self, current: SignIn, token: str) -> None:
        try:
            user = self._keeper.keep(token, current)
        except GatewayError as error:  # the code has been used up: it would be of no use to go on
            self._finish(current, "failed", error=error.code, message=error.message)
            return
        self._finish(current, "done", user=user)

    def _finish(self, current: SignIn, state: State, **fields: str) -> SignIn:
        return self._change(current, state=state, device_code="", trouble="", **fields)

    def _change(self, current: SignIn, **fields: Any) -> SignIn:
        """Change the stored sign-in, unless another one took its place."""

        def apply(text: str | None) -> str | None:
            stored = SignIn.from_json(text) if text else None
            return replace(stored, **fields).to_json() if stored is not None and stored.id == current.id else text

        self._store.update(self._key, apply)
        return replace(current, **fields)


_WORDS = {
    "expired_token": Sentence("The code ran out before it was entered. Start again for a new one."),
    "access_denied": Sentence("The sign-in was cancelled on GitHub. Start again if that was a mistake."),
    "incorrect_device_code": Sentence("GitHub does not know this code any more. Start again for a new one."),
    "incorrect_client_credentials": Sentence("GitHub does not know this application. Check GITHUB_CLIENT_ID."),
    "unsupported_grant_type": Sentence("GitHub does not offer this kind of sign-in. Check GITHUB_BASE_URL."),
    "device_flow_disabled": Sentence("This application may not sign in by code. Check GITHUB_CLIENT_ID."),
}


def _no_code(answer: Answer) -> UpstreamStatusError:
    error = str((answer.body or {}).get("error") or "")
    if answer.status == 404:
        words = Sentence("GitHub does not know this application. Check GITHUB_CLIENT_ID and GITHUB_BASE_URL.")
    elif answer.status in (403, 429):
        words = Sentence("GitHub gives out no more codes for now. Wait some minutes and try again.")
    else:
        words = _WORDS.get(error) or Sentence(
            "GitHub gave no sign-in code (HTTP %(status)s). Try again in a minute.", status=answer.status
        )
    return UpstreamStatusError(words, status=502, code=error or "no_device_code")


def _seconds(told: object, *, default: float, most: float) -> float:
    """A number of seconds that GitHub told, if it makes sense."""
    if isinstance(told, int | float) and not isinstance(told, bool) and 0 <= told <= most:
        return float(told)
    return default


def _sign_in_link(told: object, base: str) -> str:
    """The address for entering the code, as GitHub told it. The page makes a button of it, where people enter what
    gives their account away: so it leads to GitHub, or else to the place where the sign-in began."""
    if isinstance(told, str) and told.isascii() and told.isprintable() and "\\" not in told:
        with contextlib.suppress(ValueError):
            if urlsplit(told)[:2] in (("https", "github.com"), urlsplit(base)[:2]):
                return told
    return base + "/login/device"
