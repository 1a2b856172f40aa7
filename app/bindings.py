"""A key and a GitHub account of its own: invited by a link, signed in by whoever opens it, and forgotten again.

An invitation is a link for one key, good once and for a while. The first browser that begins the sign-in has it; the
account that it signs in is the key's from then on, and the bridge's own sign-in is never touched. In the store lies
a hash of the link alone; the token lies encrypted in the database (`app.sealing`).
"""

from __future__ import annotations

import functools
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Final

import orjson

from app.auth.copilot_token import ACCOUNT_INFORMATION, explain_refusal
from app.auth.device import DeviceSignIn, SignIn, login_of
from app.auth.github import GitHub
from app.auth.github_token import BoundToken, GitHubToken, TokenSource
from app.errors import AccountError, ForbiddenError, GatewayError, NotFoundError, Sentence
from app.keys.key import HOURS, Binding, Key, digest_of
from app.keys.registry import KeyRegistry
from app.logs import audit
from app.sealing import Seal
from app.settings import Secret
from app.store import Store
from app.store.record import record, told_by

_LINK: Final = re.compile(r"([0-9a-f]{12})\.([\w-]{43})", re.ASCII)
_TICKET: Final = re.compile(rf"({_LINK.pattern})\.([\w-]{{22}})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link for one key. digest: of its word. browser: the one that began the sign-in; "" if none has. expires_at:
    epoch seconds. is_used: the key is bound by it."""

    key_id: str
    name: str
    digest: str = field(repr=False)
    expires_at: float
    browser: str = field(default="", repr=False)
    is_used: bool = False

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str | None) -> Invitation | None:
        """None if there is none, or none that this version can read."""
        try:
            return record(cls, told_by(text)) if text else None
        except ValueError:
            return None


class Bindings:
    """Invitations, and the accounts of keys.

    own: the bridge's own account. forget: is told of a token that serves a key no longer.
    Raises: StoreError from every method, where the state cannot be read or written.
    """

    def __init__(
        self,
        *,
        registry: KeyRegistry,
        store: Store,
        seal: Seal,
        github: GitHub,
        github_base_url: str,
        own: TokenSource,
        forget: Callable[[BoundToken], None] = lambda _token: None,
        sign_in: Callable[..., DeviceSignIn] = DeviceSignIn,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._store = store
        self._seal = seal
        self._github = github
        self._github_base_url = github_base_url
        self._own = own
        self._forget = forget
        self._sign_in = sign_in
        self._clock = clock

    # ── for the operator ────────────────────────────────────────────────────────────────────────────────────────────

    def invite(self, name: str, *, hours: float = HOURS) -> tuple[Invitation, str]:
        """A link for this key, in place of one that it had; and what to put behind ``link=``. It is shown this once.

        Raises: NotFoundError; ForbiddenError for a key that counts no longer.
        """
        key = self._registry.find(name)
        now = self._clock()
        if (state := key.state(now)) != "active":
            raise ForbiddenError(Sentence("This API key counts no longer."), code=f"key_{state}")
        word = secrets.token_urlsafe(32)
        invitation = Invitation(key.id, key.name, digest_of(word), now + hours * 3600)
        self._store.put(_place(key.id), invitation.to_json(), ttl_s=hours * 3600)
        return invitation, f"{key.id}.{word}"

    def unbind(self, name: str) -> tuple[Key, Key]:
        """Have the bridge's own account serve the key again, and forget the other one. Raises: NotFoundError."""
        return self._parted(self._registry.unbind(name))

    def revoke(self, name: str) -> tuple[Key, Key]:
        """Make the key count no longer, and forget its account. Raises: NotFoundError."""
        return self._parted(self._registry.revoke(name))

    def refuse_own(self, login: str) -> None:
        """The bridge's own account must not become one that serves a key. Raises: ForbiddenError."""
        for key in self._registry.all() if login else ():
            if key.binding is not None and _is_same(key.binding.account, login):
                raise ForbiddenError(
                    Sentence(
                        "The GitHub account %(account)s serves the API key %(name)s, and would serve everybody now. "
                        "Unbind that key first, or sign in with another account.",
                        account=login,
                        name=repr(key.name),
                    ),
                    code="account_in_use",
                )

    # ── for whoever opens a link ────────────────────────────────────────────────────────────────────────────────────

    def ticket(self, link: str) -> str:
        """What the browser that opens this link keeps, and shows from then on. Raises: NotFoundError."""
        if not _LINK.fullmatch(link):
            raise _no_invitation()
        ticket = f"{link}.{secrets.token_urlsafe(16)}"
        self.look(ticket)
        return ticket

    def look(self, ticket: str) -> Invitation:
        """The invitation that this browser may go on with.

        Raises: NotFoundError for every other one: wrong, expired, replaced, or taken by another browser.
        """
        told = _TICKET.fullmatch(ticket)
        found = Invitation.from_json(self._store.get(_place(told[2]))) if told else None
        if told is None or found is None or not _fits(found, told[3], digest_of(told[4]), self._clock()):
            raise _no_invitation()
        return found

    def begin(self, ticket: str, *, address: str | None) -> SignIn:
        """Take the invitation for this browser, and begin the sign-in. Raises: as `look`; UpstreamError."""
        self.look(ticket)
        told = _TICKET.fullmatch(ticket)
        assert told is not None
        word, browser, now = told[3], digest_of(told[4]), self._clock()

        def take(text: str | None) -> str | None:
            found = Invitation.from_json(text)
            is_free = found is not None and not found.is_used and _fits(found, word, browser, now)
            return replace(found, browser=browser).to_json() if found is not None and is_free else text

        taken = Invitation.from_json(self._store.update(_place(told[2]), take))
        if taken is None or taken.is_used or taken.browser != browser or not _fits(taken, word, browser, now):
            raise _no_invitation()
        return self.sign_in(taken).begin(actor=f"invitation:{taken.name}", address=address, anew=True)

    def sign_in(self, invitation: Invitation) -> DeviceSignIn:
        """The sign-in of this invitation, which is nobody else's."""
        return self._sign_in(
            store=self._store,
            github=self._github,
            keeper=_KeyAccount(self, invitation),
            scope=f"{invitation.key_id}:{invitation.digest[:16]}",
            github_base_url=self._github_base_url,
        )

    # ── for calls ───────────────────────────────────────────────────────────────────────────────────────────────────

    def token(self, key_id: str, binding: Binding) -> BoundToken:
        """The sign-in of a key's account. Raises: AccountError if it cannot be opened."""
        opened = self._seal.open(binding.sealed, _context(key_id))
        if opened is None:
            self._seal.read_anew()  # the file may have come back with a backup
            opened = self._seal.open(binding.sealed, _context(key_id))
        if opened is None:
            raise AccountError(
                Sentence(
                    "The sign-in of %(account)s, the account that this API key is bound to, was encrypted with another "
                    "key than this bridge has. The operator has to set ACCOUNT_TOKENS_KEY as it was, or invite anew.",
                    account=binding.account,
                ),
                code="binding_not_readable",
            )
        return BoundToken(Secret(opened.decode()), binding.account)

    # ── the sign-in is through ──────────────────────────────────────────────────────────────────────────────────────

    def bind(self, invitation: Invitation, token: str, *, actor: str, address: str | None) -> str:
        """Bind the key of an invitation to the account of this token; its login. Raises: GatewayError."""
        place = _place(invitation.key_id)
        now = self._clock()
        current = Invitation.from_json(self._store.get(place))
        if current is None or current.digest != invitation.digest or current.is_used or current.expires_at <= now:
            raise _no_invitation()
        account = self._login(GitHubToken(Secret(token), "key"))
        if _is_same(account, self._own_login()):
            raise ForbiddenError(
                Sentence(
                    "%(account)s is the bridge's own account, which serves every key that is not bound. Sign in with "
                    "an account of your own.",
                    account=account,
                ),
                code="account_in_use",
            )
        sealed = self._seal.close(token.encode(), _context(invitation.key_id))
        before, after = self._registry.bind(invitation.key_id, account, sealed)
        self._store.update(place, functools.partial(_used, invitation.digest))
        former = before.binding
        audit(
            "key bound",
            actor=actor or "?",
            address=address,
            name=after.name,
            before=former.account if former is not None else None,
            after=account,
        )
        self._forget_former(before)
        return account

    def _own_login(self) -> str:
        """Of the bridge's own account; "" if it has none that anybody is licensed for. Raises: UpstreamError."""
        token = self._own.current()
        if token is None or token.kind == "ghs":
            return ""
        if token.user:
            return token.user
        try:
            return self._login(token)
        except AccountError:  # it is good for nothing any more
            return ""

    def _login(self, token: GitHubToken) -> str:
        """Whose token it is. Raises: AccountError, UpstreamError."""
        answer = self._github.account(token.secret)
        if answer.status != 200:
            raise explain_refusal(answer, token, what=ACCOUNT_INFORMATION)
        if not (login := login_of(answer)):
            raise AccountError(
                Sentence("GitHub did not tell whose account this is, so the key was not bound. Try again."),
                code="account_unknown",
            )
        return login

    def _parted(self, change: tuple[Key, Key]) -> tuple[Key, Key]:
        before, after = change
        self._store.delete(_place(before.id))
        self._forget_former(before)
        return before, after

    def _forget_former(self, before: Key) -> None:
        if before.binding is None:
            return
        try:
            token = self.token(before.id, before.binding)
        except GatewayError:  # then nobody here has used it either
            return
        self._forget(token)


@dataclass(frozen=True, slots=True)
class _KeyAccount:
    """Where the token of an invitation's sign-in goes."""

    bindings: Bindings
    invitation: Invitation

    def keep(self, token: str, sign_in: SignIn) -> str:
        return self.bindings.bind(self.invitation, token, actor=sign_in.actor, address=sign_in.address)


def _place(key_id: str) -> str:
    return f"key-invitation:{key_id}"


def _context(key_id: str) -> str:
    return f"key-account:{key_id}"


def _used(digest: str, text: str | None) -> str | None:
    found = Invitation.from_json(text)
    return replace(found, is_used=True).to_json() if found is not None and found.digest == digest else text


def _fits(invitation: Invitation, word: str, browser: str, now: float) -> bool:
    """Whether this word opens it, for this browser, now."""
    is_right = hmac.compare_digest(invitation.digest.encode(), digest_of(word).encode())
    is_mine = not invitation.browser or hmac.compare_digest(invitation.browser.encode(), browser.encode())
    return is_right and is_mine and (invitation.is_used or now < invitation.expires_at)


def _is_same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _no_invitation() -> NotFoundError:
    return NotFoundError(
        Sentence(
            "This invitation is not valid, or no longer: a link is good once, for a while, and in the browser that "
            "used it first. Ask the operator of the bridge for another."
        ),
        code="invitation_invalid",
    )
