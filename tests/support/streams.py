"""Reading event streams as they arrive, by an SSE parser that is not ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
import requests
from sseclient import SSEClient


class Pieces(Iterator[bytes]):
    """Stands in for ``upstream.stream.Pieces``: these ones, and no shorter way to them."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def __next__(self) -> bytes:
        return next(self._pieces)

    def lookout(self) -> None:
        """There is none."""


def pieces(response: requests.Response) -> Iterator[bytes]:
    """The body in the pieces in which it arrives."""
    while piece := response.raw.read1(65536):
        yield piece


def arriving(response: requests.Response) -> Iterator[str]:
    """The data of each event, as soon as it is there."""
    return (event.data for event in SSEClient(pieces(response)).events())


def text_of(data: list[str]) -> str:
    """The text in the data of chat chunks."""
    chunks = [orjson.loads(item) for item in data if item != "[DONE]"]
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", []))


def sse_event(name: str, data: str) -> bytes:
    """One event as upstream writes it; "" for no name."""
    named = f"event: {name}\n" if name else ""
    lines = "".join(f"data: {line}\n" for line in data.split("\n"))
    return f"{named}{lines}\n".encode("utf-8", "surrogatepass")
