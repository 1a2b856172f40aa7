"""Auto mode: Copilot picks the model for a conversation, and gives a session token that goes with its calls.

Contract §4.9 (``POST /auto``), §4.7 (the older way, for accounts without it). A conversation is asked for once; the
pick and its token are kept in the store until the session ends. Where it is not offered, that is remembered as well.
"""

from __future__ import annotations

import hashlib
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.auth.github_token import TokenSource
from app.errors import GatewayError, NotFoundError, Sentence, StoreError, UpstreamStatusError
from app.logs import logger
from app.routing import AUTO, Model, find_model
from app.settings import Secret
from app.store.base import Store
from app.upstream.catalog import Catalog
from app.upstream.client import CopilotClient, UpstreamAnswer
from app.upstream.headers import Call, Session

_API_VERSION: Final = "2026-08-01"
# The official client waits so long, and then does without.
_PATIENCE_S: Final = 5.0
_PROBE_PATIENCE_S: Final = 2.0
_EARLY_S: Final = 5 * 60.0
_LIVES_S: Final = 24 * 3600.0
_ABSENT_S: Final = 15 * 60.0
_OFFERED_S: Final = 24 * 3600.0
_UNKNOWN_S: Final = 60.0
_LONGEST_PROMPT: Final = 32_000
_MOST_EARLIER: Final = 20

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is wanted for. conversation: the same in all its turns. earlier: what the person said before."""

    conversation: str
    prompt: str
    earlier: tuple[str, ...] = ()
    has_image: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """The model for a conversation, and the token of its session. expires_at: epoch seconds."""

    model: Model
    session_token: str = field(repr=False)
    expires_at: float


class AutoMode:
    """Picks models. One per process; safe for threads and greenlets."""

    def __init__(
        self,
        *,
        store: Store,
        client: CopilotClient,
        catalog: Catalog,
        github_tokens: TokenSource,
        tier: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._client = client
        self._catalog = catalog
        self._github_tokens = github_tokens
        self._tier = tier
        self._clock = clock
        self._probing = threading.Lock()
        self._unknown_until = 0.0

    def pick(self, question: Question, *, request_id: str) -> tuple[Model, Session]:
        """The model of this conversation; Copilot is asked when it begins, and when the session ends.

        Raises: NotFoundError where auto mode is not offered; UpstreamError, SignInRequiredError, AccountError.
        """
        found = self._kept(question) or self._ask(question, request_id)

        def renew() -> str | None:
            again = self._ask(question, request_id)
            return again.session_token if again.model.id == found.model.id else None

        return found.model, Session(found.session_token, renew)

    def is_offered(self) -> bool:
        """Whether this account has it. Copilot is asked if nobody knows yet, shortly, and by one caller at a time."""
        known = self._known()
        if known is not None:
            return known
        if self._clock() < self._unknown_until or not self._probing.acquire(blocking=False):
            return False
        try:
            self._auto({"prompt": "hello"}, str(uuid.uuid4()), patience_s=_PROBE_PATIENCE_S)
        except NotFoundError:
            return False
        except GatewayError:
            self._unknown_until = self._clock() + _UNKNOWN_S
            return False
        finally:
            self._probing.release()
        return True

    def forget(self) -> None:
        """Drop what is stored of this account: picks, with the tokens of their sessions. Raises: StoreError."""
        account = self._account()
        for key in (*self._store.scan(f"auto:{account}:"), f"auto-offered:{account}"):
            self._store.delete(key)

    # -- what is kept ------------------------------------------------------------------------------------------------

    def _kept(self, question: Question) -> Pick | None:
        try:
            told = orjson.loads(self._store.get(self._key(question)) or b"null")
        except (StoreError, orjson.JSONDecodeError):
            return None
        pick = self._read(told)
        return pick if pick is not None and pick.expires_at - _EARLY_S > self._clock() else None

    def _keep(self, question: Question, told: Json, pick: Pick) -> None:
        kept = {name: told[name] for name in ("selected_model", "session_token") if name in told}
        text = orjson.dumps({**kept, "expires_at": pick.expires_at}).decode()
        try:
            self._store.put(self._key(question), text, ttl_s=max(1.0, pick.expires_at - self._clock()))
        except StoreError as error:  # the next turn asks again
            logger.warning("auto mode's pick not stored", extra={"fields": {"why": error.message}})

    def _key(self, question: Question) -> str:
        digest = hashlib.sha256(question.conversation.encode("utf-8", "surrogatepass")).hexdigest()
        return f"auto:{self._account()}:{digest[:32]}"

    def _account(self) -> str:
        token = self._github_tokens.current()
        return token.fingerprint if token is not None else ""

    def _known(self) -> bool | None:
        try:
            said = self._store.get(f"auto-offered:{self._account()}")
        except StoreError:
            return None
        return None if said is None else said == "yes"

    def _note_offered(self, is_offered: bool) -> None:
        said, ttl_s = ("yes", _OFFERED_S) if is_offered else ("no", _ABSENT_S)
        try:
            self._store.put(f"auto-offered:{self._account()}", said, ttl_s=ttl_s)
        except StoreError as error:
            logger.warning("auto mode's state not stored", extra={"fields": {"why": error.message}})

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask(self, question: Question, request_id: str) -> Pick:
        if self._known() is False:
            raise _not_offered()
        body: Json = {"prompt": question.prompt[:_LONGEST_PROMPT]}
        if question.has_image:
            body["has_image"] = True
        if self._tier:
            body["tier"] = self._tier
        if question.earlier:
            body["previous_user_messages"] = [text[:_LONGEST_PROMPT] for text in question.earlier[-_MOST_EARLIER:]]
        told = self._auto(body, request_id, patience_s=_PATIENCE_S)
        pick = self._read(told)
        if pick is None:
            raise UpstreamStatusError(Sentence("Copilot's auto mode named no model. Try again, or name a model."))
        self._keep(question, told, pick)
        return pick

    def _auto(self, body: Json, request_id: str, *, patience_s: float) -> Json:
        """The answer of ``/auto``, or that of the older way. Raises: NotFoundError, if neither is offered."""
        call = Call(
            path="/auto",
            request_id=request_id,
            body=orjson.dumps(body),
            api_version=_API_VERSION,
            patience_s=patience_s,
            may_repeat=False,
        )
        failure: GatewayError | None = None
        try:
            answer = self._client.send(call)
            content = answer.read()
            if answer.status == 200 and (told := _object(content)) is not None:
                self._note_offered(True)
                return told
            if answer.status not in (404, 405):
                failure = _failed(answer)
        except UpstreamStatusError as error:
            failure = error
        return self._older_way(request_id, patience_s, failure)

    def _older_way(self, request_id: str, patience_s: float, failure: GatewayError | None) -> Json:
        """Contract §4.7. failure: why ``/auto`` did not answer; None if it is not there."""
        body = orjson.dumps({"auto_mode": {"model_hints": [AUTO]}})
        call = Call(path="/models/session", request_id=request_id, body=body, patience_s=patience_s, may_repeat=False)
        answer = self._client.send(call)
        told = _object(answer.read()) if answer.status == 200 else None
        if told is not None and told.get("selected_model"):
            self._note_offered(True)
            return told
        if failure is not None:
            raise failure
        if answer.status in (200, 403, 404, 405):
            self._note_offered(False)
            raise _not_offered()
        raise _failed(answer)

    def _read(self, told: Any) -> Pick | None:
        """A pick, from either answer and from the store; None if it names no model."""
        if not isinstance(told, dict):
            return None
        chosen, token, ends = told.get("selected_model"), told.get("session_token"), told.get("expires_at")
        entry = {"id": chosen} if isinstance(chosen, str) else chosen
        model = Model.parse(entry)
        if model is None:
            return None
        listed = find_model(model.id, self._catalog.models())
        if not isinstance(ends, int | float) or isinstance(ends, bool):
            ends = self._clock() + _LIVES_S
        return Pick(listed or model, token if Secret.can_be_sent(token) else "", float(ends))


def _object(content: bytes) -> Json | None:
    try:
        told = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) else None


def _failed(answer: UpstreamAnswer) -> UpstreamStatusError:
    return UpstreamStatusError(
        Sentence(
            "Copilot's auto mode does not answer right now (HTTP %(status)s). Try again, or name a model.",
            status=answer.status,
        ),
        status=503 if answer.status == 503 else 502,
    )


def _not_offered() -> NotFoundError:
    return NotFoundError(
        Sentence("Copilot does not offer auto mode to this account: name a model. GET /v1/models lists them."),
        param="model",
        code="model_not_found",
    )
