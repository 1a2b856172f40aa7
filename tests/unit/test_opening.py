from __future__ import annotations

import threading

import pytest

from app.opening import Opening


def test_result_or_error_of_the_work() -> None:
    opening = Opening(lambda: "open", discard=lambda _: None)
    assert opening.wait(10)
    assert opening.result() == "open"
    failing: Opening[str] = Opening(lambda: 1 / 0, discard=lambda _: None)  # type: ignore[arg-type,return-value]
    assert failing.wait(10)
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_patience_ends_before_the_work_does() -> None:
    go_on = threading.Event()
    opening = Opening(lambda: go_on.wait(10), discard=lambda _: None)
    assert not opening.wait(0.001)
    go_on.set()
    assert opening.wait(10)


def test_what_was_opened_is_released_at_close_and_what_opens_later_too() -> None:
    released: list[str] = []
    opening = Opening(lambda: "early", discard=released.append)
    assert opening.wait(10)
    opening.close()

    go_on, done = threading.Event(), threading.Event()

    def discard(what: str) -> None:
        released.append(what)
        done.set()

    def work() -> str:
        assert go_on.wait(10)
        return "late"

    late = Opening(work, discard=discard)
    late.close()
    go_on.set()
    assert done.wait(10)
    assert released == ["early", "late"]
