"""Sealed reasoning proofs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.converters.neutral import sealed_signatures as seals
from app.converters.neutral.request_traits import ProtocolName
from app.converters.neutral.sealed_signatures import (
    is_sealed,
    proof_for_client,
    proof_for_upstream,
    proof_from_client,
    seal,
    unseal,
)
from app.converters.neutral.vocabulary import Reasoning
from tests.support.seals import joined

PROOF = Reasoning("hm", "gAAA:B%/=+", "responses", "rs:1%3A")


def test_shape() -> None:
    assert seal(Reasoning("", "abc", "messages")) == "gwseal1:messages::abc"
    assert seal(PROOF) == "gwseal1:responses:rs%3A1%253A:gAAA:B%/=+"
    assert seal(Reasoning("", "abc", "messages", redacted=True)) == "gwseal1:messages+redacted::abc"


_ASCII = st.text(st.characters(codec="ascii"), min_size=1)
_PROOFS = st.builds(
    Reasoning,
    st.text(),
    _ASCII.filter(lambda payload: seals.MARK not in payload),
    st.sampled_from(["chat", "messages", "responses", "chat/gemini-3"]),
    st.none() | _ASCII,
    st.booleans(),
)


@settings(derandomize=True, database=None, deadline=None)
@given(_PROOFS)
def test_seals_open_to_what_was_sealed(reasoning: Reasoning) -> None:
    sealed = seal(reasoning)
    assert is_sealed(b'{"signature":"' + sealed.encode() + b'"}')
    assert sealed.isascii()
    found = unseal(sealed)
    assert found is not None
    assert (found.signature, found.origin, found.id, found.redacted) == (
        reasoning.signature,
        reasoning.origin,
        reasoning.id,
        reasoning.redacted,
    )
    assert found.text == ""


@settings(derandomize=True, database=None, deadline=None)
@given(st.lists(_PROOFS, min_size=1, max_size=4))
def test_several_seals_in_one_field_open_with_their_texts(reasonings: list[Reasoning]) -> None:
    assert seals.unseal_all(joined(reasonings), "".join(r.text for r in reasonings)) == reasonings


def test_text_that_the_client_changed_goes_to_the_first_thought() -> None:
    sealed = joined([Reasoning("one", "a", "messages"), Reasoning("lost"), Reasoning("two", "b", "messages")])
    assert seals.unseal_all(sealed, "onetwo!") == [
        Reasoning("onetwo!", "a", "messages"),
        Reasoning("", "b", "messages"),
    ]
    assert seals.unseal_all("EqoB", "text") == []
    assert seals.unseal_all("gwseal1:torn", "text") == []


@pytest.mark.parametrize(
    "reasoning",
    [
        Reasoning("a"),
        Reasoning("a", "", "messages"),
        Reasoning("a", "abc"),
        Reasoning("a", "abc", "me:ssages"),
        Reasoning("a", "gwseal1:messages::abc", "responses"),
        Reasoning("a", "xgwseal1:", "responses"),
    ],
)
def test_what_cannot_be_sealed_is_a_value_error(reasoning: Reasoning) -> None:
    with pytest.raises(ValueError):
        seal(reasoning)


@pytest.mark.parametrize("text", ["", "EqoBCkgI", "gwseal1:", "gwseal1:messages", "gwseal1::id:x", " gwseal1:a::b"])
def test_what_is_no_seal_does_not_open(text: str) -> None:
    assert unseal(text) is None


def test_raw_bodies_without_a_seal_are_told_apart() -> None:
    assert not is_sealed(b'{"signature":"EqoB"}')


def test_proofs_travel_abroad_sealed_and_are_shown_to_their_home_only() -> None:
    assert proof_for_client(PROOF, "responses") == PROOF.signature
    abroad = proof_for_client(PROOF, "messages")
    assert abroad == seal(PROOF)
    assert proof_for_client(Reasoning("hm"), "messages") is None

    back = proof_from_client(abroad, "messages", text="hm")
    assert back == PROOF
    assert proof_for_upstream(back, "responses") == PROOF.signature
    assert proof_for_upstream(back, "messages") is None

    own = proof_from_client("EqoB", "messages", text="hm")
    assert own == Reasoning("hm", "EqoB", "messages")
    assert proof_for_upstream(own, "messages") == "EqoB"
    assert proof_from_client("", "responses", text="hm", id="rs_1") == Reasoning("hm", id="rs_1")
    assert proof_from_client("gwseal1:torn", "messages", text="hm") == Reasoning("hm")


@pytest.mark.parametrize("client", ["messages", "chat"])
def test_a_foreign_proof_that_holds_a_mark_is_left_out_instead_of_breaking_the_answer(client: ProtocolName) -> None:
    marked = Reasoning("hm", "gwseal1:chat::x", "responses")
    assert proof_for_client(marked, client) is None
    assert proof_for_client(marked, "responses") == "gwseal1:chat::x"
