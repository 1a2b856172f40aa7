from __future__ import annotations

import threading
import weakref

import pytest

from app.background_call import BackgroundCall


def test_result_or_error_of_the_work() -> None:
    background = BackgroundCall(lambda: "open", discard=lambda _: None)
    assert background.wait(60)
    assert background.result() == "open"
    failing: BackgroundCall[str] = BackgroundCall(lambda: 1 / 0, discard=lambda _: None)  # type: ignore[arg-type,return-value]
    assert failing.wait(60)
    with pytest.raises(ZeroDivisionError):
        failing.result()


def test_patience_ends_before_the_work_does() -> None:
    go_on = threading.Event()
    background = BackgroundCall(lambda: go_on.wait(60), discard=lambda _: None)
    assert not background.wait(0.001)
    go_on.set()
    assert background.wait(60)


def test_what_was_opened_is_released_at_close_and_what_opens_later_too() -> None:
    released: list[str] = []
    background = BackgroundCall(lambda: "early", discard=released.append)
    assert background.wait(60)
    background.close()

    go_on, done = threading.Event(), threading.Event()

    def discard(what: str) -> None:
        released.append(what)
        done.set()

    def work() -> str:
        assert go_on.wait(60)
        return "late"

    late = BackgroundCall(work, discard=discard)
    late.close()
    go_on.set()
    assert done.wait(60)
    assert released == ["early", "late"]


class _Held:
    """Something large."""


def test_failed_call_lets_go_of_what_it_had_in_its_hands() -> None:
    """The error holds its traceback, and that every name of the work, until somebody collects the circle."""
    known: list[weakref.ref[_Held]] = []

    def work() -> None:
        def deeper() -> None:
            held = _Held()
            known.append(weakref.ref(held))
            raise ValueError("x")

        try:
            deeper()
        except ValueError as error:
            held = _Held()
            known.append(weakref.ref(held))
            raise KeyError("y") from error

    call = BackgroundCall(work, discard=lambda _: None)
    assert call.wait(60)
    assert [one() for one in known] == [None, None]
    with pytest.raises(KeyError):
        call.result()
