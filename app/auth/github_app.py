"""Signing in as a GitHub App: the way that GitHub documents for services (contract §1.10).

No person signs in and no seat is used: the organization in which the App is installed is billed, and its policies hold.
A key in a file signs a JWT for some minutes (RFC 7519, RS256); with that the App asks for an installation token, which
is good for an hour and shared by the workers through the store.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

import orjson

from app.auth.github import Answer, GitHub, expect_object
from app.errors import AccountError, GatewayError, Sentence, StoreError, UpstreamProtocolError, UpstreamStatusError
from app.logs import logger
from app.settings import Secret, Settings
from app.store.base import Store

# GitHub takes no JWT that is good for more than ten minutes, the minute for clocks that differ included.
_JWT_BEFORE_S: Final = 60
_JWT_AFTER_S: Final = 540
_SKEW_WORTH_ANOTHER_TRY_S: Final = 30
# It is made anew so long before it ends.
_LAST_S: Final = 60.0
# What GitHub refuses for good it counts against the App: asked again after a growing pause (contract §1.10).
_FIRST_PAUSE_S: Final = 2.0
_LONGEST_PAUSE_S: Final = 60.0

INSTALLATION_TOKEN = Sentence("call for an installation token")
_CONFIGURATION: Final = "github_app"
"""The code of errors that the operator can mend."""


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """Which App, and where it is installed. app_id: its id or client id. repository_id: for Apps whose permission
    *Copilot Requests* is one of repositories; without it, it is one of the organization."""

    app_id: str
    installation_id: int
    key_file: Path
    repository_id: int | None
    api_url: str

    @property
    def fingerprint(self) -> str:
        """Names it in the store: 16 hex digits."""
        told = f"{self.app_id}/{self.installation_id}/{self.repository_id}@{self.api_url}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]

    @classmethod
    def of(cls, settings: Settings) -> AppIdentity | None:
        """The App that the settings name, if they do."""
        if not settings.github_app_id or not settings.github_app_installation_id or not settings.github_app_key_file:
            return None
        return cls(
            settings.github_app_id,
            settings.github_app_installation_id,
            settings.github_app_key_file,
            settings.github_app_repository_id,
            settings.github_api_base_url,
        )


@dataclass(frozen=True, slots=True)
class InstallationToken:
    """A ``ghs_…`` token. obtained_at: epoch seconds by our clock. lifetime_s: counted from then, by GitHub's clock."""

    value: Secret
    obtained_at: float
    lifetime_s: float

    def left_s(self, now: float) -> float:
        """Seconds for which it may still be used; 0 also where our clock was set back."""
        age_s = now - self.obtained_at
        return max(0.0, self.lifetime_s - _LAST_S - age_s) if age_s >= 0 else 0.0


class GitHubApp:
    """Makes installation tokens and keeps them in the store. Callers see to it that one at a time asks."""

    def __init__(
        self,
        identity: AppIdentity,
        *,
        github: GitHub,
        store: Store,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = identity
        self._github = github
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._failure: GatewayError | None = None
        self._pause_s = 0.0
        self._ask_again_at = 0.0

    def token(self, *, other_than: Secret | None = None) -> InstallationToken:
        """One that may be used now, and is not `other_than`, which was refused.

        Raises: AccountError for what the operator has to mend, UpstreamError.
        """
        found = self._load()
        if found is not None and found.value != other_than:
            return found
        if self._failure is not None and self._monotonic() < self._ask_again_at:
            raise self._failure
        try:
            made = self._make()
        except AccountError as error:
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._failure, self._ask_again_at = error, self._monotonic() + self._pause_s
            raise
        self._failure, self._pause_s = None, 0.0
        self._keep(made)
        return made

    def _load(self) -> InstallationToken | None:
        try:
            told = orjson.loads(self._store.get(_key(self.identity.fingerprint)) or "null")
            token = InstallationToken(Secret(told["value"]), float(told["obtained_at"]), float(told["lifetime_s"]))
            is_good = Secret.can_be_sent(told["value"]) and token.left_s(self._clock()) > 0
            return token if is_good else None
        except (StoreError, ValueError, TypeError, KeyError):
            return None

    def _keep(self, token: InstallationToken) -> None:
        fields = {
            "value": token.value.reveal(),
            "obtained_at": token.obtained_at,
            "lifetime_s": token.lifetime_s,
        }
        try:
            text = orjson.dumps(fields).decode()
            self._store.put(_key(self.identity.fingerprint), text, ttl_s=max(1.0, token.lifetime_s - _LAST_S))
        except StoreError as error:  # it serves this worker all the same
            logger.warning("installation token not stored", extra={"fields": {"why": error.message}})

    def _make(self) -> InstallationToken:
        key = read_key(self.identity.key_file)
        answer = self._ask(key, self._clock())
        skew_s = _skew(answer, self._clock())
        if answer.status == 401 and abs(skew_s) > _SKEW_WORTH_ANOTHER_TRY_S:
            answer = self._ask(key, self._clock() + skew_s)  # by GitHub's clock, which is the one that counts
        if answer.status != 201:
            raise explain_app_refusal(answer, skew_s)
        now = self._clock()
        token = _read(expect_object(answer, INSTALLATION_TOKEN), now, now + _skew(answer, now), self._permissions())
        logger.info("installation token obtained", extra={"fields": {"lifetime_s": round(token.lifetime_s)}})
        return token

    def _ask(self, key: Any, now: float) -> Answer:
        import jwt  # brings ssl along, which the master process must not load before its workers are patched

        claims = {"iss": self.identity.app_id, "iat": int(now) - _JWT_BEFORE_S, "exp": int(now) + _JWT_AFTER_S}
        signed = Secret(jwt.encode(claims, key, algorithm="RS256"))
        body: dict[str, Any] = {"permissions": dict(self._permissions())}
        if self.identity.repository_id is not None:
            body["repository_ids"] = [self.identity.repository_id]
        return self._github.make_installation_token(signed, self.identity.installation_id, body)

    def _permissions(self) -> Mapping[str, str]:
        if self.identity.repository_id is not None:
            return {"copilot_requests": "write"}
        return {"organization_copilot_requests": "read"}


def forget_installation_tokens(store: Store) -> None:
    for key in store.scan(_key("")):
        store.delete(key)


def _key(fingerprint: str) -> str:
    return f"installation-token:{fingerprint}"


def read_key(file: Path) -> Any:
    """The App's private key. Raises: AccountError with what is wrong with the file, never with what is in it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        content = file.read_bytes()
    except OSError as error:
        raise _unusable(file, Sentence("it cannot be read (%(why)s)", why=error.strerror or "")) from error
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError as error:
        raise _unusable(file, Sentence("it is protected by a password")) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable(file, Sentence("it holds no private key in PEM form")) from error
    if not isinstance(key, RSAPrivateKey):
        raise _unusable(file, Sentence("it is no RSA key"))
    return key


def _unusable(file: Path, why: Sentence) -> AccountError:
    return AccountError(
        Sentence(
            "GITHUB_APP_PRIVATE_KEY_FILE names %(file)s, which cannot be used: %(why)s. Put the .pem file there that "
            "GitHub gave for the App.",
            file=file,
            why=why,
        ),
        code=_CONFIGURATION,
    )


def _read(body: Mapping[str, Any], now: float, server_now: float, wanted: Mapping[str, str]) -> InstallationToken:
    value, permissions = body.get("token"), body.get("permissions")
    try:
        ends_at = datetime.fromisoformat(str(body.get("expires_at"))).timestamp()
    except ValueError:
        ends_at = server_now + 3600
    if not Secret.can_be_sent(value):
        raise UpstreamProtocolError(
            Sentence("GitHub's answer to the %(what)s holds no token. Try again in a minute.", what=INSTALLATION_TOKEN)
        )
    # A read may be given as write, and no less will do.
    given = permissions if isinstance(permissions, dict) else wanted
    if any(given.get(name) not in (least, "write") for name, least in wanted.items()):
        raise AccountError(
            Sentence(
                "GitHub gave the App a token without the permission %(name)s. Give the App the permission “Copilot "
                "Requests” in its settings, and have the installation accept it.",
                name=", ".join(wanted),
            ),
            code=_CONFIGURATION,
        )
    return InstallationToken(Secret(value), now, max(1.0, ends_at - server_now))


def _skew(answer: Answer, now: float) -> float:
    """GitHub's clock minus ours, in seconds."""
    try:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - now
    except (KeyError, ValueError, TypeError, OverflowError):
        return 0.0


def explain_app_refusal(answer: Answer, skew_s: float = 0.0) -> GatewayError:
    """What it means that GitHub gives no installation token, and what to do (contract §1.10)."""
    said = answer.message.strip().rstrip(".")
    if answer.is_rate_limited:
        return UpstreamStatusError(
            Sentence("GitHub limits how often the App may ask for tokens. Wait and try again."),
            status=429,
            code="github_rate_limited",
            retry_after=answer.headers.get("Retry-After"),
        )
    if answer.status == 401:
        clock = ""
        if abs(skew_s) > _SKEW_WORTH_ANOTHER_TRY_S:
            clock = Sentence(
                " The clock of this machine is %(seconds)s seconds off GitHub's; set it right.",
                seconds=round(abs(skew_s)),
            )
        advice = Sentence(
            "GitHub does not accept the GitHub App's own signature. Check that GITHUB_APP_ID and the key in "
            "GITHUB_APP_PRIVATE_KEY_FILE belong to the same App, and that the key was not deleted.%(clock)s",
            clock=clock,
        )
    elif answer.status == 403:
        advice = Sentence(
            "GitHub does not let these credentials make installation tokens (%(said)s). GITHUB_APP_ID has to be the id "
            "of a GitHub App, and the installation must not be suspended.",
            said=said or "forbidden",
        )
    elif answer.status == 404:
        advice = Sentence(
            "The GitHub App has no such installation. Check GITHUB_APP_INSTALLATION_ID (the number at the end of the "
            "installation's address), and GITHUB_HOST."
        )
    elif answer.status == 422:
        advice = Sentence(
            "GitHub refuses to make the installation token (%(said)s). Check that the App has the permission “Copilot "
            "Requests” and that the installation accepted it; GITHUB_APP_REPOSITORY_ID, if set, has to be in it.",
            said=said or "unprocessable",
        )
    else:
        return UpstreamStatusError(
            Sentence(
                "GitHub's %(what)s failed with HTTP %(status)s. This is on GitHub's side; try again in a minute.",
                what=INSTALLATION_TOKEN,
                status=answer.status,
            ),
            status=502,
        )
    return AccountError(advice, code=_CONFIGURATION)
