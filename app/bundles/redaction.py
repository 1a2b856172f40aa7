r"""JSON and event streams without what they say: structure, field names and words of the protocols stay, text goes.

It works on the text as it is on the wire, damaged or not, and never parses it: what is cut, doubled, or no JSON at all
stays so, byte for byte in length. Numbers stay where the protocols count (tokens, indexes, limits), and are replaced
elsewhere. What is in doubt is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from app.bundles.filler import Filler
from app.bundles.words import ERROR_WORDS, WORDS

_WORD_FIELDS_TEXT: Final = """
type role object finish_reason stop_reason status effort event phase code param format encoding_format detail
tool_choice service_tier media_type ttl mode verbosity summary truncation include modalities syntax display reason
reasoning_effort anthropic_version token_type betas required container_type shell_type memory caller
additionalProperties
"""
_WORD_FIELDS: Final = frozenset(_WORD_FIELDS_TEXT.split())
"""Whose values are words of the protocols, and are kept if they are."""
_MODEL_FIELDS: Final = frozenset({"model", "id", "name", "slug"})
_NUMBER_FIELDS_TEXT: Final = """
index created created_at completed_at sequence_number output_index content_index summary_index annotation_index
max_tokens max_completion_tokens max_output_tokens max_tool_calls max_uses budget_tokens thinking_budget n seed top_p
top_k temperature top_logprobs frequency_penalty presence_penalty prompt_tokens completion_tokens total_tokens
input_tokens output_tokens cached_tokens cache_read_input_tokens cache_creation_input_tokens reasoning_tokens
ephemeral_5m_input_tokens ephemeral_1h_input_tokens accepted_prediction_tokens rejected_prediction_tokens audio_tokens
token_count cost_per_batch batch_size total_nano_aiu web_search_requests minimum maximum minLength maxLength minItems
maxItems status thinking_tokens cached_input_tokens cache_write_tokens dimensions
"""
_NUMBER_FIELDS: Final = frozenset(_NUMBER_FIELDS_TEXT.split())

_ID: Final = re.compile(
    r"(?:call|toolu|srvtoolu|msg|resp|chatcmpl|fc|rs|ws|ctc|item|req|gen|in|ct|mcp|ig|cmpl|reasoning|tooluse)[_-](?=.)"
)
_DATA: Final = re.compile(r"data:(?:image/(?:png|jpeg|gif|webp)|application/pdf|text/plain);base64,")
_SCHEME: Final = re.compile(r"https?://")
# In a literal: an escape with what it escapes, once more escaped where JSON is a string in JSON.
_ESCAPE: Final = re.compile(r"(\\\\u|\\u)([0-9a-fA-F]{4})|\\\\[/bfnrt]?|\\.|\b(?:true|false|null)\b", re.DOTALL)
_TOKEN: Final = re.compile(r'"((?:[^"\\]|\\.)*)("?)|-?\d[\d.eE+-]*|[A-Za-z_]+|[{}\[\]:,]|[^\S\n]+|.', re.DOTALL)
_WORD: Final = re.compile(r"[\w$-]+(?:\.[\w$-]+)*|\(s\)")
_EVENT_LINE: Final = re.compile(r"(data|event|id|retry)(:[ ]?)(.*)", re.DOTALL)


class Redactor:
    """Takes what was said out of the bytes of one call. models: names that may stay, being Copilot's own."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        self._filler = Filler()
        self._models = frozenset(models)
        self._known: dict[str, str] = {}

    def body(self, content: bytes, *, is_stream: bool = False, is_error: bool = False) -> bytes:
        """The same bytes, as many, with filler for text. is_error: sentences of upstream's keep their common words."""
        text = content.decode("utf-8", "surrogateescape")
        if is_stream:
            out = "".join(self._line(line, is_error) for line in re.split(r"(\r\n|\n|\r)", text))
        elif text.lstrip()[:1] in ("{", "[", '"'):
            out = self._json(text, is_error)
        else:
            out = self._sentence(text) if is_error else self.text(text)
        return out.encode("utf-8", "surrogateescape")

    def text(self, text: str) -> str:
        """Filler for text that is no JSON literal."""
        found = self._known.get(text) if len(text) <= 200 else None
        if found is None:
            found = self._filler.of(text)
            if len(text) <= 200 and len(self._known) < 20_000:
                self._known[text] = found
        return found

    def name(self, text: str) -> str:
        """A model's name: kept if it is one of Copilot's."""
        return text if text in self._models else self.text(text)

    # ── event streams ───────────────────────────────────────────────────────────────────────────────────────────────

    def _line(self, line: str, is_error: bool) -> str:
        if not line.strip("\r\n"):
            return line
        field = _EVENT_LINE.fullmatch(line)
        if field is None:
            kept = len(line) - len(line.lstrip(": "))
            rest = line[kept:]
            return line[:kept] + (self._json(rest, is_error) if rest[:1] in ("{", "[") else self.text(rest))
        name, colon, value = field.groups()
        if name == "data":
            bare = value.strip()
            told = value if bare == "[DONE]" else self._json(value, is_error)
        elif name == "event":
            told = value if value.strip() in WORDS else self.text(value)
        else:
            told = value if name == "retry" and value.strip().isdigit() else self.text(value)
        return name + colon + told

    # ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _json(self, text: str, is_error: bool) -> str:
        out: list[str] = []
        # For each open bracket: whether it is an object, and the field that its values are of.
        stack: list[tuple[bool, str]] = []
        field, wants_name, in_error = "", False, is_error
        for match in _TOKEN.finditer(text):
            token = match.group()
            first = token[0]
            if first == '"':
                literal, end = match.group(1), match.group(2)
                if wants_name and stack and stack[-1][0]:
                    field = literal
                    out.append(f'"{literal if literal in WORDS else self._literal(literal)}{end}')
                    wants_name = False
                    in_error = in_error or literal in ("error", "incomplete_details")
                else:
                    out.append(f'"{self._value(field, literal, in_error)}{end}')
            elif first in "{[":
                stack.append((first == "{", field))
                wants_name = first == "{"
                out.append(token)
            elif first in "}]":
                if stack:
                    field = stack.pop()[1]
                wants_name = False
                out.append(token)
            elif first == ",":
                wants_name = bool(stack) and stack[-1][0]
                if stack and not stack[-1][0]:
                    field = stack[-1][1]
                out.append(token)
            elif first == ":" or token.isspace():
                out.append(token)
            elif first.isdigit() or first == "-":
                out.append(token if field in _NUMBER_FIELDS else self._number(token))
            else:
                out.append(token if token in ("true", "false", "null") else self.text(token))
        return "".join(out)

    def _value(self, field: str, literal: str, in_error: bool) -> str:
        if field in _WORD_FIELDS and literal in WORDS:
            return literal
        if field in _MODEL_FIELDS and literal in self._models:
            return literal
        if field == "param" and in_error:
            return self._literal(literal, lambda text: _WORD.sub(lambda it: self._word(it.group(), WORDS), text))
        if field == "message" and in_error:
            return self._literal(literal, self._sentence)
        for prefix in (_ID, _DATA, _SCHEME):
            if found := prefix.match(literal):
                return found.group() + self._literal(literal[found.end() :])
        return self._literal(literal)

    def _sentence(self, text: str) -> str:
        return _WORD.sub(lambda match: self._word(match.group(), ERROR_WORDS), text)

    def _word(self, word: str, known: frozenset[str]) -> str:
        if word in known or word.lower() in known or all(part in WORDS for part in word.split(".")):
            return word
        return self.text(word)

    def _literal(self, literal: str, how: Callable[[str], str] | None = None) -> str:
        """What is between quotation marks: escapes stay escapes, also those of JSON within. how: the rest."""
        how = how or self.text
        if "\\" not in literal and not re.search(r"\b(?:true|false|null)\b", literal):
            return how(literal)
        out: list[str] = []
        at = 0
        for match in _ESCAPE.finditer(literal):
            if match.start() > at:
                out.append(how(literal[at : match.start()]))
            at = match.end()
            out.append(match.group(1) + _other_code(match.group(2)) if match.group(1) else match.group())
        return "".join([*out, how(literal[at:])] if at < len(literal) else out)

    def _number(self, token: str) -> str:
        mantissa, mark, exponent = re.fullmatch(r"([^eE]*)([eE]?)(.*)", token, re.DOTALL).groups()  # type: ignore[union-attr]
        return self.text(mantissa) + mark + exponent


def _other_code(digits: str) -> str:
    r"""The four digits of an escape: halves of characters and control characters stay, any other says nothing."""
    code = int(digits, 16)
    if 0xD800 <= code <= 0xDFFF or code < 0x20:
        return digits
    return "0061" if code < 0x80 else "00e9" if code < 0x3000 else "6587"
