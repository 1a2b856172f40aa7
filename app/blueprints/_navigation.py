"""The pages for people, one line for each: its address, what it is called, and who may see it.

The navigation, the cookie and the admission are read from here. A page that is not for clients is told to one by a 403.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.errors import Sentence


@dataclass(frozen=True, slots=True)
class Page:
    """path: the page is there, and what belongs to it is below. title: as the navigation has it.

    for_clients: whether a key of the role client opens it; the page then shows what is that key's own. parts: endpoints
    beside the page's own that those may ask for who may see it. warns: whether Copilot's notices stand on it.
    """

    endpoint: str
    path: str
    title: Sentence
    for_clients: bool = False
    parts: tuple[str, ...] = ()
    warns: bool = False

    def holds(self, path: str) -> bool:
        """Whether this is the page's address, or one below it."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


PAGES: Final[tuple[Page, ...]] = (
    Page("overview.home", "/", Sentence("Overview"), for_clients=True, warns=True),
    Page("usage.usage", "/usage", Sentence("Usage"), for_clients=True, parts=("usage.ledger",), warns=True),
    Page("calls.show", "/requests", Sentence("Requests"), for_clients=True, parts=("calls.events",)),
    Page("catalogue.show", "/catalogue", Sentence("Models"), for_clients=True),
    Page(
        "try_it.show",
        "/try",
        Sentence("Try it"),
        for_clients=True,
        parts=("try_it.chat", "try_it.messages", "try_it.responses"),
    ),
    Page("setup.show", "/setup", Sentence("Setup"), for_clients=True, warns=True),
    Page("keys.list_keys", "/admin/keys", Sentence("Keys")),
    Page("admin.show", "/admin/mapping", Sentence("Mapping"), warns=True),
    Page("learned.show", "/admin/learned", Sentence("Learned")),
    Page("cache.show", "/admin/cache", Sentence("Cache doctor")),
    Page("recording.show", "/admin/recording", Sentence("Recording")),
    Page("configuration.show", "/admin/settings", Sentence("Settings")),
    Page("auth.device", "/auth/device", Sentence("Sign-in")),
)
"""In the order of the navigation."""

ENDPOINTS: Final = frozenset(page.endpoint for page in PAGES)
"""The pages themselves, by address of which a person may come in."""

FOR_CLIENTS: Final = frozenset(
    {"auth.log_out"} | {endpoint for page in PAGES if page.for_clients for endpoint in (page.endpoint, *page.parts)}
)
"""Endpoints outside the API that a key of the role client may ask for. What they tell it is its own."""


def pages_for(role: str | None) -> tuple[Page, ...]:
    """The pages that an ``admin`` or a ``client`` may open; who is neither may open none."""
    return tuple(page for page in PAGES if role == "admin" or (role == "client" and page.for_clients))


def page_at(path: str) -> Page | None:
    """The page that this address belongs to."""
    return next((page for page in PAGES if page.holds(path)), None)
