"""What every request schema refuses, whatever its fields are."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequestError
from app.schemas.base import Boundary, check
from app.schemas.chat import CHAT_REQUEST
from app.schemas.embeddings import EMBEDDINGS_REQUEST
from app.schemas.images import IMAGES_REQUEST
from app.schemas.messages import MESSAGES_REQUEST
from app.schemas.responses import RESPONSES_REQUEST

MESSAGES = [{"role": "user", "content": "x"}]
SOUND = [
    (CHAT_REQUEST, {"model": "m", "messages": MESSAGES}),
    (MESSAGES_REQUEST, {"model": "m", "messages": MESSAGES, "max_tokens": 5}),
    (RESPONSES_REQUEST, {"model": "m", "input": "x"}),
    (EMBEDDINGS_REQUEST, {"model": "m", "input": "x"}),
    (IMAGES_REQUEST, {"model": "m", "prompt": "x"}),
]


@pytest.mark.parametrize(("schema", "sound"), SOUND)
@pytest.mark.parametrize("name", ["Model", "MODEL", "mOdel"])
def test_a_field_in_other_letters_is_no_way_past_what_is_looked_at(
    schema: Boundary, sound: dict[str, Any], name: str
) -> None:
    check(schema, sound)
    check(schema, {**sound, "Another": 1})
    with pytest.raises(InvalidRequestError, match=f"'{name}' must be written 'model'") as told:
        check(schema, {**sound, name: "another"})
    assert told.value.param == name
