"""GitHub Apps: installation tokens and what they may do (contract §1.10, §13.3)."""

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .accounts import Account
from .server import Exchange, Request

if TYPE_CHECKING:
    from .state import World

_MINT = re.compile(r"/app/installations/(\d+)/access_tokens")
_LONGEST_JWT_S = 600


def is_mint(request: Request) -> bool:
    return request.method == "POST" and _MINT.fullmatch(request.path) is not None


def mint(world: "World", request: Request, exchange: Exchange) -> None:
    """``POST /app/installations/{id}/access_tokens``: every check of the contract's table, then a token."""
    found = _MINT.fullmatch(request.path)
    assert found is not None
    config = world.config
    if not _signed_by_app(world, request):
        return _tell(exchange, 401, "A JSON web token could not be decoded")
    if int(found[1]) != config["app_installation"]:
        return _tell(exchange, 404, "Not Found")
    asked = request.fields.get("permissions") or {}
    repositories = request.fields.get("repository_ids")
    if any(type(one) is not int or one not in config["app_repositories"] for one in repositories or ()):
        return _tell(exchange, 422, "There is at least one repository that does not exist or is not accessible.")
    known = {"organization": {"organization_copilot_requests": "read"}, "repository": {"copilot_requests": "write"}}
    granted = known[config["app_permission_form"]]
    if any(name not in granted for name in asked):
        return _tell(exchange, 422, "The permissions requested are not granted to this installation.")
    needs_repository = config["app_permission_form"] == "repository"
    permitted = asked == granted and (not needs_repository or bool(repositories)) and config["app_has_permission"]
    account = _install(world, permitted)
    ends = datetime.fromtimestamp(int(world.now() + config["installation_token_lifetime_s"]), UTC)
    body: dict[str, Any] = {
        "token": account.token,
        "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "permissions": {"metadata": "read", **(granted if config["app_has_permission"] else {})},
        "repository_selection": "selected" if repositories else "all",
    }
    return exchange.reply_json(201, body, "application/json; charset=utf-8")


def _signed_by_app(world: "World", request: Request) -> bool:
    import jwt

    scheme, _, token = (request.header("authorization") or "").partition(" ")
    key = world.config["app_public_key"]
    if scheme.lower() != "bearer" or not key:
        return False
    try:
        claims = jwt.decode(token, key, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False})
        starts, ends = float(claims["iat"]), float(claims["exp"])
    except (jwt.PyJWTError, KeyError, TypeError, ValueError):
        return False
    now = world.now()
    is_the_app = str(claims.get("iss")) in world.config["app_ids"]  # it goes by its id and by its client id
    return is_the_app and starts <= now < ends and ends - starts <= _LONGEST_JWT_S


def _install(world: "World", permitted: bool) -> Account:
    with world.cond:
        number = 1 + sum(1 for token in world.accounts if token.startswith("ghs_test_made_"))
        kind = "installation" if permitted else "installation_without"
        account = Account(f"ghs_test_made_{number:04d}", login="acme-inc", kind=kind, plan="business")
        world.accounts[account.token] = account
        world.installation_ends[account.token] = time.time() + float(world.config["installation_token_lifetime_s"])
        return account


def is_installation(account: Account) -> bool:
    return account.kind in ("installation", "installation_without")


def has_ended(world: "World", account: Account) -> bool:
    return time.time() >= world.installation_ends.get(account.token, float("inf"))


def refusal(world: "World", account: Account) -> tuple[int, str] | None:
    """Status and words with which Copilot is refused to an installation token, if it is."""
    allowed = world.config["organization_allows_apps"]
    if allowed == 401:
        return 401, "unauthorized"
    if allowed == 403:
        return 403, "Copilot requests with installation tokens are not enabled for this organization"
    return (403, "Forbidden") if account.kind == "installation_without" else None


def _tell(exchange: Exchange, status: int, message: str) -> None:
    body = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
    exchange.reply_json(status, body, "application/json; charset=utf-8")
