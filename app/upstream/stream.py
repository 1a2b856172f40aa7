"""Copilot's answers as they come: the pieces of a body, with what can go wrong in the errors of our tree."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from typing import Final

import requests
import urllib3

from app import http_body
from app.errors import Sentence, UpstreamProtocolError, UpstreamTimeoutError, broken_off
from app.http_body import NOTHING_CAME, Lookout
from app.memory import Share
from app.outbound import explain
from app.tape import End, Reel

__all__ = ["NOTHING_CAME", "Pieces"]

MOST_BYTES: Final = 256 * 1024 * 1024
"""Of one stream. The longest answers of models are some tens of MB, most of it what frames their words."""


class Pieces(Iterator[bytes]):
    """The body in pieces, each as soon as it is there, and NOTHING_CAME whenever nothing came for `silence_s`.

    A line that drips is no better than silence, so its end has to come within `idle_s` as well; until then its bytes
    are held for it, and count as held. A stream that only ever goes on has its end after `answer_s`, or MOST_BYTES:
    nothing else would end it, for each of its events is as good as the one before.
    Raises: UpstreamTimeoutError after `idle_s` without a byte, or within one line, and after `answer_s`;
    UpstreamProtocolError when the body breaks off, or is too large; OverloadedError.
    """

    def __init__(
        self,
        response: requests.Response,
        *,
        silence_s: float,
        idle_s: float,
        answer_s: float,
        reel: Reel | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = response.url or ""
        self._idle_s, self._answer_s = idle_s, answer_s
        self._clock = clock
        self._reel = reel
        self._ends_at, self._left = clock() + answer_s, MOST_BYTES
        self._share = Share.current()
        self._since, self._held = 0.0, 0
        self._pieces, self._lookout = http_body.opened(response.raw, silence_s=silence_s, idle_s=idle_s)
        if self._lookout is not None:
            self._lookout.accepts = self._is_plain

    def __next__(self) -> bytes:
        try:
            piece = next(self._pieces)
            self._check(piece)
        except StopIteration:
            self._record_end("whole")
            raise
        except UpstreamTimeoutError:
            self._record_end("silent")
            raise
        except http_body.FramingError as error:
            self._record_end("cut")
            raise UpstreamProtocolError("Copilot's answer is not valid chunked HTTP.") from error
        except (urllib3.exceptions.HTTPError, requests.RequestException, http.client.HTTPException, OSError) as error:
            explained = explain(error, self._url)
            self._record_end("silent" if isinstance(explained, UpstreamTimeoutError) else "cut")
            if isinstance(explained, UpstreamTimeoutError):
                raise explained from error
            # There was a connection, and an answer on it: whatever broke it, this answer is torn.
            raise broken_off("It closed the connection.") from error
        if self._reel is not None:
            self._reel.add(piece)
        return piece

    def lookout(self) -> Lookout | None:
        """A second way to the pieces for as long as they are whole lines within the bounds (see `http_body.Lookout`);
        None while something is held that only this one knows."""
        if self._reel is not None:
            return None
        lookout = self._lookout
        return lookout if lookout is not None and not self._held and lookout.is_clear else None

    def _record_end(self, how: End) -> None:
        if self._reel is not None:
            self._reel.ended(how)

    def _is_plain(self, piece: bytes) -> bool:
        """Whether nothing is to be said of a piece."""
        if b"\n" not in piece or len(piece) > self._left or self._clock() > self._ends_at:
            return False
        self._left -= len(piece)
        return True

    def _check(self, piece: bytes) -> None:
        now = self._clock()
        if now > self._ends_at:
            raise UpstreamTimeoutError(
                Sentence(
                    "Copilot's answer went on for longer than UPSTREAM_ANSWER_TIMEOUT_S allows (%(seconds)s s).",
                    seconds=f"{self._answer_s:g}",
                )
            )
        self._left -= len(piece)
        if self._left < 0:
            raise UpstreamProtocolError(Sentence("Copilot's answer is larger than %(most)s bytes.", most=MOST_BYTES))
        if b"\n" in piece:
            if self._held:
                self._share.give(self._held)
                self._held = 0
        elif piece:
            if not self._held:
                self._since = now
            elif now - self._since > self._idle_s:
                raise TimeoutError("timed out")
            self._share.take(len(piece))
            self._held += len(piece)
