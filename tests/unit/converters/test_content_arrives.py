"""What a person, a tool or a summary said reaches the model, in its own form or as text, or it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.errors import UnsupportedFeatureError
from tests.support.exchanges import PIXEL, PROTOCOLS, exchange_between, sent
from tests.support.rows import rows

Json = dict[str, Any]
PIXELS = PIXEL.split(",")[1]
TOOL = {"name": "t", "input_schema": {"type": "object", "properties": {}}}


def asked(*blocks: Json) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "Look."}, *blocks]}]


def recalled(*blocks: Json) -> list[Json]:
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [*blocks, {"type": "text", "text": "So."}]},
        {"role": "user", "content": "Go on."},
    ]


def answered(*content: Json) -> list[Json]:
    return [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "t", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": list(content)}]},
    ]


USE = {"type": "server_tool_use", "id": "s1", "name": "code_execution", "input": {"code": "print(41)"}}
MESSAGES: dict[str, tuple[list[Json], tuple[str, ...]]] = {
    "a tool search in a result": (answered({"type": "tool_reference", "tool_name": "calc"}), ("calc",)),
    "several of them": (
        answered(*({"type": "tool_reference", "tool_name": one} for one in ("calc", "mail"))),
        ("calc", "mail"),
    ),
    "an unknown block in a result": (
        answered({"type": "note", "text": "pears"}),
        ("pears",),
    ),
    "a summary": (recalled({"type": "compaction", "content": "Earlier: pears."}), ("Earlier: pears.",)),
    "what a server's tool found": (
        recalled(
            {"type": "mcp_tool_use", "id": "m1", "name": "count", "server_name": "s", "input": {"fruit": "pear"}},
            {"type": "mcp_tool_result", "tool_use_id": "m1", "content": [{"type": "text", "text": "42 pears"}]},
        ),
        ("count", "pear", "42 pears"),
    ),
    "what code printed": (
        recalled(
            USE,
            {
                "type": "code_execution_tool_result",
                "tool_use_id": "s1",
                "content": {"type": "code_execution_result", "stdout": "41!", "stderr": "", "return_code": 0},
            },
        ),
        ("print(41)", "41!"),
    ),
    "what a shell printed": (
        recalled(
            {
                "type": "bash_code_execution_tool_result",
                "tool_use_id": "s1",
                "content": {"type": "bash_code_execution_result", "stdout": "pears", "stderr": "worms"},
            }
        ),
        ("pears", "worms"),
    ),
    "what a tool search found": (
        recalled(
            {
                "type": "tool_search_tool_result",
                "tool_use_id": "s1",
                "content": {
                    "type": "tool_search_tool_search_result",
                    "tool_references": [{"type": "tool_reference", "tool_name": "calc"}],
                },
            }
        ),
        ("calc",),
    ),
    "why a tool failed": (
        recalled(
            {
                "type": "mcp_tool_result",
                "tool_use_id": "m1",
                "is_error": True,
                "content": [{"type": "text", "text": "no pears"}],
            }
        ),
        ("no pears",),
    ),
    "an unknown block of a person": (asked({"type": "sticky", "text": "pears"}), ("pears",)),
}
RESPONSES: dict[str, tuple[list[Json], tuple[str, ...]]] = {
    "a search in the history": (
        [{"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "pears"}}],
        ("pears",),
    ),
    "a shell call and its output": (
        [
            {"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls", "pears"]}},
            {"type": "local_shell_call_output", "call_id": "c", "output": "a.txt"},
        ],
        ("pears", "a.txt"),
    ),
    "what an MCP server did": (
        [
            {
                "type": "mcp_call",
                "id": "m",
                "name": "count",
                "arguments": "{}",
                "output": "42 pears",
                "server_label": "s",
            }
        ],
        ("count", "42 pears"),
    ),
    "what code printed": (
        [
            {
                "type": "code_interpreter_call",
                "id": "c",
                "code": "print(41)",
                "outputs": [{"type": "logs", "logs": "41!"}],
            }
        ],
        ("print(41)", "41!"),
    ),
}
UNREADABLE = {
    "messages": asked({"type": "hologram", "source": {"type": "base64", "data": "QQ=="}}),
    "chat": asked({"type": "hologram", "hologram": {"data": "QQ=="}}),
    "responses": [{"role": "user", "content": [{"type": "hologram", "data": "QQ=="}]}],
}


def request(client: str, said: list[Json]) -> Json:
    field = "input" if client == "responses" else "messages"
    more = {"max_tokens": 99, "tools": [TOOL]} if client == "messages" else {}
    return {"model": "m", field: said, **more}


@rows("upstream")
@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("case", MESSAGES)
def test_content_of_a_messages_client_arrives(upstream: str, case: str) -> None:
    said, words = MESSAGES[case]
    body = json.dumps(sent(exchange_between("messages", upstream, request("messages", said))), ensure_ascii=False)
    assert [one for one in words if one not in body] == []


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("case", RESPONSES)
def test_items_of_a_responses_client_arrive(upstream: str, case: str) -> None:
    said, words = RESPONSES[case]
    user = {"role": "user", "content": "hi"}
    body = json.dumps(sent(exchange_between("responses", upstream, request("responses", [user, *said, user]))))
    assert [one for one in words if one not in body] == []


@pytest.mark.parametrize("client", PROTOCOLS)
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_what_cannot_be_read_by_anybody_is_refused_by_its_type(client: str, upstream: str) -> None:
    if client == upstream:
        return
    with pytest.raises(UnsupportedFeatureError, match="'hologram'") as caught:
        exchange_between(client, upstream, request(client, UNREADABLE[client])).payload()
    assert caught.value.param


IMAGES: dict[str, Json] = {
    "chat's": {"type": "image_url", "image_url": {"url": PIXEL}},
    "chat's, as a string": {"type": "image_url", "image_url": PIXEL},
    "Anthropic's": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}},
    "Anthropic's, by address": {"type": "image", "source": {"type": "url", "url": "https://a.test/x.png"}},
    "its own": {"type": "input_image", "image_url": PIXEL},
}


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", IMAGES)
def test_an_image_in_anybodys_words_reaches_the_model(upstream: str, case: str) -> None:
    said = [{"role": "user", "content": [{"type": "input_text", "text": "Look."}, IMAGES[case]]}]
    exchange = exchange_between("responses", upstream, request("responses", said))
    body = json.dumps(sent(exchange))
    assert PIXELS in body
    assert ("input_image" in body) == (upstream == "responses")


PDF = "JVBERi0="
FILES: dict[str, Json] = {
    "chat's": {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
    "Anthropic's": {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    },
    "its own": {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
}


@pytest.mark.parametrize("upstream", ["messages", "responses"])
@pytest.mark.parametrize("case", FILES)
def test_a_document_in_anybodys_words_reaches_the_model(upstream: str, case: str) -> None:
    said = [{"role": "user", "content": [{"type": "input_text", "text": "Look."}, FILES[case]]}]
    body = json.dumps(sent(exchange_between("responses", upstream, request("responses", said))))
    assert PDF in body
    assert ("input_file" in body) == (upstream == "responses")


SECRETS = {
    "authorization": "Bearer fake-pears",
    "headers": {"x-key": "fake-pears"},
    "environment": {"network_policy": {"domain_secrets": [{"name": "KEY", "value": "fake-pears"}]}},
}


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("secret", SECRETS)
def test_no_model_is_told_a_secret_of_a_tool(upstream: str, secret: str) -> None:
    found = {"type": "mcp", "server_label": "figs", "server_description": "All on figs.", secret: SECRETS[secret]}
    call = {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"query": "figs"}}
    output = {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [found]}
    body = request("responses", [{"role": "user", "content": "hi"}, call, output])
    told = json.dumps(sent(exchange_between("responses", upstream, body)))
    assert "All on figs." in told
    assert "fake-pears" not in told


PAPER: Json = {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}
PAGE: Json = {"type": "text", "media_type": "text/plain", "data": "Pears."}


def fetched(source: Json) -> Json:
    page = {"type": "web_fetch_result", "url": "https://a.test", "content": {"type": "document", "source": source}}
    return {"type": "web_fetch_tool_result", "tool_use_id": "u", "content": page}


OF_THE_MODEL: dict[str, tuple[Json, str | None]] = {
    "a text document": ({"type": "document", "source": PAGE, "title": "T"}, "Pears."),
    "a search result": (
        {"type": "search_result", "title": "T", "source": "s", "content": [{"type": "text", "text": "Pears."}]},
        "Pears.",
    ),
    "a page that was fetched": (fetched(PAGE), "Pears."),
    "an image": ({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}, None),
    "a PDF": ({"type": "document", "source": PAPER}, None),
    "a PDF that was fetched": (fetched(PAPER), None),
}


@rows("upstream")
@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("case", OF_THE_MODEL)
def test_what_stands_in_a_turn_of_the_models_own_arrives_or_is_refused(upstream: str, case: str) -> None:
    block, words = OF_THE_MODEL[case]
    user = {"role": "user", "content": "hi"}
    said = {"role": "assistant", "content": [{"type": "text", "text": "Look."}, block]}
    body = request("messages", [user, said, user])
    if words is None:
        with pytest.raises(UnsupportedFeatureError) as caught:
            exchange_between("messages", upstream, body).payload()
        assert caught.value.param
    else:
        assert words in json.dumps(sent(exchange_between("messages", upstream, body)))


AUDIO = {"type": "input_audio", "input_audio": {"data": PIXELS, "format": "wav"}}
TEXT_FILE = "data:text/plain;base64,UGVhcnMu"
IN_OWN_WORDS: dict[str, dict[str, tuple[Json, str | None]]] = {
    "chat": {
        "a picture": (IMAGES["chat's"], None),
        "a picture in Anthropic's words": (IMAGES["Anthropic's"], None),
        "a PDF": (FILES["chat's"], None),
        "a text document": ({"type": "file", "file": {"filename": "a.txt", "file_data": TEXT_FILE}}, "Pears."),
        "sound": (AUDIO, None),
    },
    "responses": {
        "a picture": (IMAGES["its own"], None),
        "a picture in chat's words": (IMAGES["chat's"], None),
        "a PDF": (FILES["its own"], None),
        "a text document": ({"type": "input_file", "filename": "a.txt", "file_data": TEXT_FILE}, "Pears."),
        "sound": (AUDIO, None),
    },
    "messages": OF_THE_MODEL,
}


@rows("client", "upstream")
@pytest.mark.parametrize(
    ("client", "upstream", "case"),
    [(client, upstream, case) for client in PROTOCOLS for upstream in PROTOCOLS for case in IN_OWN_WORDS[client]],
)
def test_a_turn_of_the_models_own_holds_no_picture_for_any_pair(client: str, upstream: str, case: str) -> None:
    """Upstream refuses all but text there; the client hears so in its own dialect, and where it stands."""
    part, words = IN_OWN_WORDS[client][case]
    user = {"role": "user", "content": "hi"}
    own = {"role": "assistant", "content": [{"type": "text", "text": "Look."}, part]}
    body = request(client, [user, own, user])
    if words is None:
        with pytest.raises(UnsupportedFeatureError) as caught:
            exchange_between(client, upstream, body, may_pass=False).payload()
        field = "input" if client == "responses" else "messages"
        assert (caught.value.param or "").startswith(f"{field}[1].content[1]")
    else:
        assert words in json.dumps(sent(exchange_between(client, upstream, body, may_pass=False)))


BYTES: dict[str, Json] = {
    "a picture that was made": {
        "type": "image_generation_call",
        "id": "i",
        "result": PIXELS,
        "revised_prompt": "Pears.",
    },
    "a plot of code": {
        "type": "code_interpreter_call",
        "id": "c",
        "code": "Pears.",
        "outputs": [{"type": "image", "url": PIXEL}],
    },
    "bytes under a name": {"type": "sculpture_call", "id": "s", "title": "Pears.", "shape_b64": PIXELS},
}


@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("case", BYTES)
def test_bytes_are_no_words(upstream: str, case: str) -> None:
    """A picture in base64 would fill the context of the model, and mean nothing to it."""
    user = {"role": "user", "content": "hi"}
    exchange = exchange_between("responses", upstream, request("responses", [user, BYTES[case], user]))
    told = json.dumps(sent(exchange))
    assert "Pears." in told
    assert (PIXELS in told) == (upstream == "responses" and case == "bytes under a name")


@pytest.mark.parametrize("upstream", ["messages", "responses"])
def test_what_only_chat_has_beside_a_message_does_not_vanish_in_silence(upstream: str) -> None:
    answer = {"role": "assistant", "content": "a", "images": [IMAGES["chat's"]], "thinking_blocks": []}
    user = {"role": "user", "content": "hi", "mood": "good"}
    prepared = exchange_between("chat", upstream, request("chat", [user, answer, user])).payload()
    assert {"messages[].images", "messages[].thinking_blocks", "messages[].mood"} <= set(prepared.dropped)
