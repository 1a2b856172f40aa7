"""The neutral vocabulary: what the three protocols talk about, said once (conversion rules §6).

Every value is frozen, slotted and equal when equal. A decoder turns wire into these, an encoder turns these into wire,
and no codec ever sees another protocol's words. Five conventions are worth remembering:

* ``Usage.input_tokens`` is the TOTAL, cached share INCLUDED (see ``Usage``).
* Tool results are parts of ``user`` messages, tool calls are parts of ``assistant`` messages. There is no tool role.
* Raw stays raw: ``ToolCall.arguments`` is the exact text that the model wrote, parsed only where a target wants an
  object (``tools.input_of``).
* What only one protocol knows rides in ``extra[<origin>]`` or in an ``Opaque`` part, and is written back only by the
  codec of that origin. A part attribute called ``origin`` names the protocol that minted a proof.
* ``path`` of a part is where it stands in the client's body, for refusals: ``messages[0].content[1]``. It says nothing
  of what the part is: equal parts are equal wherever they stand.

Sequences are tuples, so that a value can be shared without fear. Dictionaries are not copied: treat them as frozen.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

Role = Literal["system", "developer", "user", "assistant"]
CallKind = Literal["function", "custom"]
ChoiceMode = Literal["auto", "none", "required", "named", "allowed"]
ToolKind = Literal["function", "custom", "hosted"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

# Why an answer ended (conversion rules §3). Finer than any one protocol, so that each can be told exactly:
#                    chat            messages                       responses
# stop               stop            end_turn                       completed
# stop_sequence      stop            stop_sequence                  completed
# tool_calls         tool_calls      tool_use                       completed
# length             length          max_tokens                     incomplete, max_output_tokens
# context_overflow   length          model_context_window_exceeded  incomplete, max_output_tokens
# content_filter     content_filter  refusal                        incomplete, content_filter
# refusal            content_filter  refusal                        completed, with a refusal part
# pause              stop            pause_turn                     completed
# A chat or responses answer that ends normally beside a Refusal part is "refusal"; with calls in it, "tool_calls".
CacheMark = bool | Literal["1h"]
"""Whether the prompt cache may end at a part or tool; "1h": and is to last for an hour, not for five minutes."""
FinishReason = Literal[
    "stop", "stop_sequence", "tool_calls", "length", "context_overflow", "content_filter", "refusal", "pause"
]

Extra: TypeAlias = dict[str, dict[str, Any]]
"""Fields that one protocol alone knows, by its name: ``{"chat": {"seed": 7}}``."""


def split_data_url(url: str) -> tuple[str, str] | None:
    """Media type and base64 data of a ``data:`` URL; None if it is another URL or not base64."""
    if url[:5].lower() != "data:":
        return None
    head, comma, data = url[5:].partition(",")
    media_type, *options = head.split(";")
    if not comma or not options or options[-1].strip().lower() != "base64":
        return None
    return media_type.strip().lower(), data


@dataclass(frozen=True, slots=True)
class Annotation:
    """A source that a text names: ``annotations`` of chat and responses, ``citations`` of messages.

    kind: "url" (web page) or "file"/"other". start_index, end_index: characters of the text, where known.
    origin, value: the wire form, written back verbatim by that protocol.
    """

    kind: Literal["url", "file", "other"] = "other"
    url: str | None = None
    title: str | None = None
    start_index: int | None = None
    end_index: int | None = None
    cited_text: str | None = None
    origin: str | None = None
    value: Any = None


@dataclass(frozen=True, slots=True)
class Text:
    """Text of any role. cache: the prompt cache may end here. id, phase: of the responses item that it was.

    is_apart: of an answer, whether upstream began something new with it, and did not go on with the text before.
    """

    text: str = ""
    annotations: tuple[Annotation, ...] = ()
    cache: CacheMark = False
    id: str | None = None
    phase: str | None = None
    is_apart: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The model's words of refusal (chat ``refusal``, responses ``refusal`` part). id: of the responses item."""

    text: str = ""
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """An image: exactly one of url, data (base64) and file_id. Make it with ``Image.of``, so that equals are equal."""

    url: str | None = None
    data: str | None = None
    media_type: str | None = None
    detail: str | None = None
    file_id: str | None = None
    cache: CacheMark = False
    path: str = field(default="", compare=False)

    @classmethod
    def of(cls, url: str, *, detail: str | None = None, cache: CacheMark = False) -> Image:
        """From a URL; a base64 ``data:`` URL is taken apart."""
        split = split_data_url(url)
        if split is None:
            return cls(url=url, detail=detail, cache=cache)
        return cls(data=split[1], media_type=split[0] or None, detail=detail, cache=cache)

    @property
    def as_url(self) -> str | None:
        """The URL or data URL; None for a file id."""
        if self.data is None:
            return self.url
        return f"data:{self.media_type or 'image/png'};base64,{self.data}"


@dataclass(frozen=True, slots=True)
class File:
    """A document: one of data (base64), url, text, file_id and parts (blocks of the messages source ``content``).

    name: file name. title, context, citations: of a messages ``document``. detail: of a responses ``input_file``.
    """

    data: str | None = None
    url: str | None = None
    text: str | None = None
    file_id: str | None = None
    parts: tuple[Part, ...] = ()
    name: str | None = None
    media_type: str | None = None
    title: str | None = None
    context: str | None = None
    citations: bool | None = None
    detail: str | None = None
    cache: CacheMark = False
    path: str = field(default="", compare=False)

    @property
    def as_url(self) -> str | None:
        """The URL or data URL, where the file has one."""
        if self.data is None:
            return self.url
        return f"data:{self.media_type or 'application/pdf'};base64,{self.data}"


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound, heard (data, format) or spoken (id, transcript too)."""

    data: str = ""
    format: str | None = None
    id: str | None = None
    transcript: str = ""
    expires_at: int | None = None
    path: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Thought, and the proof that the model had it.

    signature: the proof, verbatim: messages ``signature`` or redacted ``data``, chat ``reasoning_opaque``, responses
               ``encrypted_content``. Never shown to another protocol but sealed (``sealed_signatures``).
    origin:    the protocol that minted the proof. None: no proof.
    id:        what the proof is bound to (responses item id, Azure ``cot_id``).
    redacted:  a messages ``redacted_thinking`` block: the proof is all there is.
    is_apart:  of an answer, whether upstream told it as a thought of its own.
    """

    text: str = ""
    signature: str | None = None
    origin: str | None = None
    id: str | None = None
    redacted: bool = False
    is_apart: bool = field(default=False, compare=False)


_Kind = TypeVar("_Kind")


def apart(part: _Kind) -> _Kind:
    """A text or thought as something new that upstream began; any other part as it is."""
    return replace(part, is_apart=True) if isinstance(part, Text | Reasoning) else part


def going_on(part: _Kind) -> _Kind:
    """The same as what goes on with what was before."""
    is_said = isinstance(part, Text | Reasoning) and part.is_apart
    return replace(part, is_apart=False) if isinstance(part, Text | Reasoning) and is_said else part


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool.

    call_id:   pairs it with its result. id: of the responses item, which is another thing.
    arguments: exact text: JSON for a function ("" is no arguments), anything for a custom tool.
    namespace: of the tool, in responses.
    signature, origin: a proof on the call itself (Gemini ``thought_signature``, contract §6.5.8).
    """

    call_id: str
    name: str
    arguments: str = ""
    kind: CallKind = "function"
    id: str | None = None
    namespace: str | None = None
    signature: str | None = None
    origin: str | None = None
    cache: CacheMark = False


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered; a part of a user message. A plain string is one Text; nothing is ()."""

    call_id: str
    parts: tuple[Part, ...] = ()
    is_error: bool = False
    kind: CallKind = "function"
    id: str | None = None
    cache: CacheMark = False

    @property
    def text(self) -> str:
        """All its text, in one piece."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Opaque:
    """A part that only `origin` knows: `value` is its wire form, parsed. Other codecs leave it out and say so."""

    origin: str
    value: Any
    path: str = field(default="", compare=False)


Part: TypeAlias = Text | Refusal | Image | File | Audio | Reasoning | ToolCall | ToolResult | Opaque


def located(part: Part, path: str) -> Part:
    """The part with its place in the client's body, if it is of a kind that an upstream may have no form for."""
    return replace(part, path=path) if isinstance(part, Image | File | Audio | Opaque) else part


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of one role. name: of the participant (chat)."""

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    extra: Extra = field(default_factory=dict)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def results(self) -> tuple[ToolResult, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolResult))

    @property
    def text(self) -> str:
        """All its text, in one piece."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    schema: JSON schema of the arguments; None where the client gave none (encoders write an empty object schema).
    strict: None where the client did not say; the protocols' defaults differ (conversion rules §2).
    format: of a custom tool, e.g. ``{"type": "grammar", "syntax": "lark", "definition": …}``.
    kind "hosted": run by the provider; name is its wire ``type``, the whole definition is in ``extra[<origin>]``.
    """

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    kind: ToolKind = "function"
    strict: bool | None = None
    format: dict[str, Any] | None = None
    namespace: str | None = None
    cache: CacheMark = False
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolRef:
    """A tool by name."""

    name: str
    kind: ToolKind = "function"
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Which tool the model must, may or must not call.

    named:   exactly `tool`.
    allowed: one of `allowed`, or (unless is_required) none.
    """

    mode: ChoiceMode = "auto"
    tool: ToolRef | None = None
    allowed: tuple[ToolRef, ...] = ()
    is_required: bool = False

    @property
    def forces(self) -> bool:
        """Whether the model has to call something."""
        return self.mode in ("required", "named") or self.is_required


@dataclass(frozen=True, slots=True)
class ReasoningConfig:
    """How much the model shall think. What is None was not said.

    mode:    messages ``thinking.type``. effort may stand alone (chat, responses) or beside it (``output_config``).
    summary: responses ``reasoning.summary``. display: messages ``thinking.display``.
    by_effort: the effort is all that the client could say, and it shows the thoughts that come (chat).
    """

    effort: Effort | None = None
    budget_tokens: int | None = None
    mode: Literal["enabled", "adaptive", "disabled"] | None = None
    summary: str | None = None
    display: str | None = None
    by_effort: bool = False

    @property
    def is_disabled(self) -> bool:
        return self.mode == "disabled" or (self.mode is None and self.effort == "none")

    @property
    def shows_text(self) -> bool:
        """Whether the client means to show thoughts, so that a responses upstream shall be asked for a summary."""
        if self.is_disabled or self.display == "omitted":
            return False
        return self.summary is not None or self.mode is not None or self.by_effort


@dataclass(frozen=True, slots=True)
class OutputFormat:
    """Structured output: any JSON object, or one that fits a schema."""

    kind: Literal["json_object", "json_schema"]
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. What is None, or empty, was not given.

    messages:     in their order, system and developer ones where they stood (a messages ``system`` stands first).
    include_usage: the client wants usage in the stream (chat ``stream_options``; always true of the other two).
    user:         chat/responses ``user``, messages ``metadata.user_id``.
    metadata:     chat/responses ``metadata``; of messages what stands beside ``user_id``.
    has_tools_field: whether the client gave ``tools`` at all, be it empty: a Response echoes it.
    """

    model: str
    messages: tuple[Message, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_output_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: ReasoningConfig | None = None
    output_format: OutputFormat | None = None
    verbosity: str | None = None
    stream: bool = False
    include_usage: bool = True
    top_logprobs: int | None = None
    user: str | None = None
    safety_identifier: str | None = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    store: bool | None = None
    has_tools_field: bool = False
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens used. None = NOT REPORTED, which is not 0.

    input_tokens is the TOTAL of the prompt, INCLUDING what was read from the cache and what was written to it: the
    OpenAI meaning. The messages codec adds ``cache_read_input_tokens`` and ``cache_creation_input_tokens`` on the way
    in and subtracts them on the way out; nobody else calculates. output_tokens likewise includes reasoning_tokens.
    """

    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def uncached_input_tokens(self) -> int | None:
        """What messages calls ``input_tokens``."""
        if self.input_tokens is None:
            return None
        return max(self.input_tokens - (self.cached_input_tokens or 0) - (self.cache_write_tokens or 0), 0)

    @property
    def total_tokens(self) -> int | None:
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.input_tokens or 0) + (self.output_tokens or 0)

    def updated(self, later: Usage | None) -> Usage:
        """This, with what a later report says: later wins, field by field, where it says anything."""
        if later is None:
            return self
        return Usage(
            *(
                mine if theirs is None else theirs
                for mine, theirs in (
                    (self.input_tokens, later.input_tokens),
                    (self.cached_input_tokens, later.cached_input_tokens),
                    (self.cache_write_tokens, later.cache_write_tokens),
                    (self.output_tokens, later.output_tokens),
                    (self.reasoning_tokens, later.reasoning_tokens),
                )
            )
        )


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. parts: in the order in which the model gave them. created_at: epoch seconds, as upstream said."""

    id: str
    model: str
    created_at: int | None
    parts: tuple[Part, ...]
    finish_reason: FinishReason
    stop_sequence: str | None = None
    usage: Usage | None = None
    extra: Extra = field(default_factory=dict)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(part for part in self.parts if isinstance(part, ToolCall))

    @property
    def text(self) -> str:
        """All its text, in one piece."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
