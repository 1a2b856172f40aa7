r"""In which words upstreams refuse a part of a request: the one table, for all three endpoints.

Each row is a wording and what it means. The rows are tried in order; a row that names something which the request does
not have, or cannot do without, is passed over. To teach the bridge a new wording, add a row here and one to the table
in ``tests/unit/converters/test_refusal.py``.

The text is at most `error_body.LONGEST_WORDS` characters, and no pattern repeats anything without bound: part of the
text is quoted from what clients write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

PROOF: Final = "proof"
"""The name for: no reasoning proofs at all."""
BETA: Final = "beta:"
TYPE: Final = "type:"
"""Before a type of tool or item that is to be said in another way, or left out: ``type:custom``."""

# A name begins and ends at its own border, and is taken whole: so a search costs one try per word.
_LETTER: Final = r"[\w$./\[\]-]"
_PATH: Final = rf"(?<!{_LETTER})[A-Za-z_$/]{_LETTER}{{0,199}}+"
_QUOTE: Final = r"[`'\"“”‘’]"
_NAME: Final = rf"{_QUOTE}?(?P<name>{_PATH}){_QUOTE}?"
_QUOTED: Final = rf"{_QUOTE}(?P<name>{_PATH}){_QUOTE}"
_ITEM: Final = rf"{_QUOTE}?{_PATH}{_QUOTE}?"
_NAMES: Final = rf"\[?(?P<names>{_ITEM}(?:(?:, ?| and | or |, and ){_ITEM}){{0,9}})\]?"
_FIELD: Final = r"(?:parameter|argument|field|key|property|keyword|option|setting|input|attribute|name)"
_ADVERB: Final = r"(?:now |currently |not yet )?"
_NOT: Final = (
    r"(?:(?:is|are|was|were)(?:n['’]t| (?:currently )?(?:not|no longer|not yet)) (?:\w{1,12} )?"
    r"(?:supported|allowed|permitted|available|accepted|recognized|recognised|valid|defined|expected|known"
    r"|configurable|adjustable|applicable|compatible|usable|offered|possible)"
    rf"|(?:is|are|was|were) {_ADVERB}(?:unsupported|deprecated|unexpected|unknown|unrecognized|disallowed|forbidden"
    r"|incompatible|disabled|removed|retired|not an? \w{1,12} (?:parameter|argument|field))"
    r"|(?:has|have) been (?:deprecated|removed|retired)"
    r"|(?:cannot|can't|can not|may not|must not|should not) be (?:used|set|specified|provided|passed|sent)"
    r"|not supported|not permitted|not allowed|unsupported|deprecated)"
)
_SAMPLING: Final = rf"{_QUOTE}?(?P<name>temperature|top_p|top_k|presence_penalty|frequency_penalty){_QUOTE}?"
_CANNOT: Final = r"(?:cannot|can't|can not|may not|must not)"
_DOES_NOT: Final = r"(?:does not|doesn't|do not|don't|did not) (?:currently )?"
_UNKNOWN: Final = (
    r"(?:unsupported|unknown|unrecognized|unrecognised|unexpected|invalid|unpermitted|undefined|extra|extraneous"
    r"|deprecated|unsupported or unknown)"
)


@dataclass(frozen=True)
class Wording:
    """One way to refuse.

    text: of the pattern.
    means: what to leave out, or another way to ask, where the words say no name that could be looked for.
    lasts: whether it is about the model alone. What depends on the conversation, on a combination of fields or on one
    value holds for this request only.
    """

    text: str
    means: tuple[str, ...] = ()
    lasts: bool = True

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compiled at the first refusal: all of them take as long as a tenth of a worker's start."""
        return re.compile(self.text, re.IGNORECASE)


def _row(text: str, *means: str, lasts: bool = True) -> Wording:
    return Wording(text, means, lasts)


EFFORTS: Final = ("output_config.effort", "reasoning.effort", "reasoning_effort")
"""Where a request says how much the model shall think."""

WORDINGS: Final[tuple[Wording, ...]] = (
    # ── betas ──
    _row(r"unsupported beta (?:header|flag)(?:s|\(s\))?:? {0,3}(?P<betas>[\w.,; -]{1,400})"),
    _row(
        rf"(?:unknown|unsupported|unrecogni[sz]ed) beta(?: feature| version| value)?:? ?{_QUOTE}?"
        r"(?P<betas>[A-Za-z][\w.]{0,40}-[\w.-]{1,80})"
    ),
    _row(
        rf"(?:anthropic-beta:?|beta(?: feature| header| flag| version| value)?) {_QUOTE}?"
        rf"(?P<betas>[A-Za-z][\w.]{{0,40}}-[\w.-]{{1,80}}){_QUOTE}? {_NOT}"
    ),
    _row(rf"unexpected value(?:s|\(s\))? (?P<betas>{_QUOTE}[\w`'\", .-]{{1,400}}) for the .?anthropic-beta"),
    _row(r"\binvalid beta (?:flag|header)", "beta:*"),
    # ── proofs of reasoning: the conversation's affair ──
    _row(rf"encrypted[ _]content{_QUOTE}? is not supported", "include"),
    _row(
        r"invalid_encrypted_content|encrypted[ _]content.{0,200}(?:could not be|cannot be|invalid|failed|mismatch"
        rf"|(?:did|does) not match)|invalid {_QUOTE}input.{{0,20}}\.encrypted_content",
        PROOF,
        lasts=False,
    ),
    _row(
        r"(?:invalid|corrupted|malformed|missing|unknown|bad).{1,5}(?:thought.?)?(?:signature|data).{1,5}in.{1,5}"
        r"\w{0,20}thinking",
        PROOF,
        lasts=False,
    ),
    _row(rf"invalid {_QUOTE}?(?:thinking |thought.?)?signature|corrupted thought.?signature", PROOF, lasts=False),
    _row(
        r"signature.{0,40}(?:is not valid|is invalid|not valid|could not be verified|mismatch|verification failed"
        r"|expired)|thinking.{0,40}signature: field required|thinking blocks? must have a \w{0,6} ?signature",
        PROOF,
        lasts=False,
    ),
    _row(r"reasoning_opaque was not issued", PROOF, lasts=False),
    _row(r"thinking.{0,40}blocks?.{0,200}not be (?:modified|changed|altered)", PROOF, lasts=False),
    _row(r"thinking.{0,40}blocks?.{0,200}cannot be (?:modified|changed|altered)", PROOF, lasts=False),
    _row(r"each thinking block must contain", PROOF, lasts=False),
    _row(
        r"items? are not persisted when|item with id.{1,200}not found"
        r"|without its required (?:following|preceding) item",
        PROOF,
        lasts=False,
    ),
    _row(
        rf"expected {_QUOTE}thinking{_QUOTE} or {_QUOTE}redacted_thinking{_QUOTE},? but found", "thinking", lasts=False
    ),
    _row(r"must start with a thinking block", "thinking", lasts=False),
    # ── combinations ──
    _row(rf"{_QUOTE}?temperature{_QUOTE}? and {_QUOTE}?top_p{_QUOTE}? {_CANNOT}", "top_p", lasts=False),
    _row(
        r"(?:only one|either|both).{0,40}temperature.{0,20}top_p"
        r"|temperature.{0,20}top_p.{0,60}(?:together|at the same time|simultaneously|not both|only one|exclusive)",
        "top_p",
        lasts=False,
    ),
    _row(
        r"thinking (?:may|can|must|should)(?: ?not|n't) be (?:enabled|used) when|thinking is not compatible with",
        "thinking",
        lasts=False,
    ),
    # The limit of the answer is never what stands against a budget for thinking.
    _row(
        rf"(?!{_QUOTE}?max_){_NAME}(?: {_FIELD})? (?:(?:may|can|must|should)(?: only)? be|is only|only works|requires)"
        r".{0,200}"
        r"\b(?:thinking|reasoning|when|unless|if)\b",
        lasts=False,
    ),
    _row(
        rf"{_NAME} (?:{_CANNOT}|is not allowed|is not supported|is incompatible|is not compatible).{{0,20}}"
        r"\b(?:with|when|together|while|without|unless|if|in combination)\b.{0,40}"
        r"\b(?:thinking|reasoning|enabled|disabled|set|specified|stream|streaming|tools?|together)\b",
        lasts=False,
    ),
    _row(
        rf"\b(?:tools?|functions?|images?|streaming|streams?) (?:together |combined )?with {_NAME} {_NOT}", lasts=False
    ),
    # ── forms of thinking ──
    _row(
        rf"thinking\.type\.disabled{_QUOTE}? (?:is )?not supported|thinking {_CANNOT} be (?:disabled|turned off"
        r"|switched off)|disabling thinking is not|thinking is always (?:on|enabled|active)"
        r"|thinking is (?:required|mandatory)",
        "thinking.disabled",
    ),
    _row(
        rf"adaptive thinking (?:is |mode is )?(?:not|un)|thinking\.type\.adaptive{_QUOTE}? (?:is )?not supported"
        r"|does not support adaptive",
        "thinking.adaptive",
    ),
    _row(
        rf"thinking\.type\.enabled{_QUOTE}? (?:is )?not supported|does not support (?:manual|budgeted) thinking"
        r"|use adaptive thinking",
        "thinking.enabled",
    ),
    _row(rf"thinking: input tag {_QUOTE}adaptive{_QUOTE} found using", "thinking.adaptive"),
    _row(rf"thinking: input tag {_QUOTE}enabled{_QUOTE} found using", "thinking.enabled"),
    _row(rf"thinking: input tag {_QUOTE}disabled{_QUOTE} found using", "thinking.disabled"),
    _row(r"does not support (?:extended |interleaved )?thinking|thinking is not (?:supported|available)", "thinking"),
    # ── concepts that have no one name ──
    _row(
        rf"{_DOES_NOT}support reasoning(?=[.,;!]|$| (?:at|in|on|for|with)\b)"
        r"|(?<![\w.])reasoning is not (?:supported|available)",
        "reasoning",
        *EFFORTS,
    ),
    _row(
        rf"{_DOES_NOT}support (?:the )?(?:output[ _]format|structured outputs?|json[ _]schema)"
        r"|(?:output[ _]format|structured outputs?) (?:is|are) not (?:supported|available)",
        "output_config.format",
    ),
    _row(
        rf"(?:{_DOES_NOT}support|unsupported:?) (?:the )?(?:reasoning[ _.]?effort|effort)\b"
        r"|(?:effort parameter|reasoning[ _.]effort) (?:is|are) not (?:supported|available)",
        *EFFORTS,
    ),
    _row(
        rf"{_DOES_NOT}support (?:the )?(?:stop[ _]sequences?|stop (?:parameter|words))"
        r"|stop sequences? (?:is|are) not supported",
        "stop",
        "stop_sequences",
    ),
    _row(
        rf"(?:{_DOES_NOT}support|no support for) parallel (?:tool|function)|parallel (?:tool|function)[ _]call"
        r"\w{0,4} (?:is|are) not",
        "parallel_tool_calls",
    ),
    _row(
        rf"{_DOES_NOT}support (?:the )?(?:logprobs|log probabilities)|log probabilities (?:is|are) not",
        "top_logprobs",
        "logprobs",
    ),
    _row(
        rf"{_DOES_NOT}support (?:prompt )?caching|(?:prompt )?caching is not (?:supported|available)",
        "cache_control",
    ),
    _row(rf"{_DOES_NOT}support (?:text )?verbosity", "text.verbosity", "verbosity"),
    _row(
        rf"{_DOES_NOT}support (?:the )?(?:reasoning )?summar(?:y|ies)|reasoning summar(?:y|ies) (?:is|are) not"
        r"|must be verified to generate reasoning summar",
        "reasoning.summary",
    ),
    # ── by name ──
    _row(rf"unsupported value: ?{_QUOTED} does not"),
    _row(
        rf"{_UNKNOWN} (?:request |body |input |query |model |API ){{0,2}}{_FIELD}(?:s|\(s\)|\(es\))?"
        r"(?: supplied| provided| found| given)?(?: in (?:the )?(?:request|body|object|payload))?"
        rf"(?: supplied| provided| found| given)?:? ?{_NAMES}"
    ),
    _row(
        rf"{_NAME}:? {{0,2}}(?:Extra inputs are not permitted|extra fields not permitted|extra_forbidden"
        r"|unexpected property|unknown field|unrecognized key|Unexpected keyword argument|additional propert)"
    ),
    _row(rf"additional properties are not allowed:? ?\(?{_NAMES}"),
    _row(rf"(?:unsupported|unknown|unrecognized) (?:value|parameter|type) for {_QUOTED}"),
    _row(rf"(?:unknown name|cannot find field:?|no such field:?|unexpected keyword(?: argument)?) {_NAME}"),
    _row(rf"\b{_FIELD}s? {_NAMES} {_NOT}"),
    _row(rf"{_NAMES} {_FIELD}s? {_NOT}"),
    _row(rf"{_NAME}: (?:this |the )?{_FIELD}s? {_NOT}"),
    _row(rf"{_FIELD}s? \({_NAMES}\) {_NOT}"),
    _row(rf"(?:following|these|those) {_FIELD}s? {_NOT}[^:]{{0,60}}: ?{_NAMES}"),
    _row(
        rf"{_DOES_NOT}(?:support|accept|allow|take|recognize) (?:the |these |following |setting |use of |using ){{0,3}}"
        rf"(?:{_FIELD}s? ?:? ?)?{_NAMES}"
    ),
    _row(rf"{_FIELD}s? not (?:supported|allowed|permitted|recognized)(?: \w{{1,8}} this \w{{1,12}})?: ?{_NAMES}"),
    _row(rf"(?:use of|using|setting|usage of|support for) (?:the )?{_NAMES}(?: {_FIELD}s?)? {_NOT}"),
    _row(
        rf"(?<!{_LETTER}){_QUOTE}?(?P<name>response_format){_QUOTE}? of type {_QUOTE}?\w{{1,20}}{_QUOTE}? {_NOT}",
        lasts=False,
    ),
    _row(rf"invalid value for {_QUOTE}(?P<name>tool_choice){_QUOTE}.{{0,200}}not supported", lasts=False),
    _row(r"(?P<name>tool_choice)\b.{0,200}(?:not supported|unsupported|not allowed)", lasts=False),
    _row(rf"{_QUOTED}(?:: ?[^ ]{{1,40}})? {_NOT}"),
    _row(rf"{_QUOTED} {_DOES_NOT}support"),
    _row(rf"(?:^|[.;:,(\n] ?)(?P<name>{_PATH}) {_NOT}"),
    _row(rf"(?P<name>(?<!{_LETTER})[a-z]{{1,20}}(?:[_.][a-z]{{1,20}}){{1,5}}) {_NOT}"),
    _row(rf"only the default .{{0,40}}value (?:for|of) {_NAME}"),
    # one value alone, as some reasoning models have it
    _row(rf"only {_SAMPLING} ?(?:=|of) ?[\d.]{{1,8}} is (?:allowed|supported|accepted)", lasts=False),
    _row(
        rf"(?:invalid|unsupported) (?:value for )?{_SAMPLING}: ?only [\d.]{{1,8}} is (?:allowed|supported|accepted)",
        lasts=False,
    ),
    _row(
        rf"{_SAMPLING} must (?:be|equal) (?:exactly |set to )?\d[\d.]{{0,6}}(?=$|\.?$| (?:for|with|on)\b)", lasts=False
    ),
    _row(rf"custom {_SAMPLING} (?:values? |settings? )?{_NOT}", lasts=False),
    _row(rf"{_NAME} (?:may|can|must|should) only be (?:set to |left at )?(?:the |its )?default", lasts=False),
    _row(rf"(?:remove|omit|drop|leave out|unset) (?:the )?(?:{_FIELD} )?{_QUOTED}"),
)

_SEPARATOR: Final = re.compile(r", and |, or |, ?| and | or |; ?| ")
_EDGES: Final = "`'\"“”‘’[]().,:; "

_LISTED: Final = re.compile(
    r"\b(?:(?:supported|allowed|valid|possible|permitted|available) (?:values?|efforts?|options?)(?: are| is)?"
    r"|(?:allowed|supported|accepted|valid)(?=:)|(?:expected|must be|should be)(?: one of)?(?: the following)?"
    r"|one of(?! the values)(?: the following)?|input should be|permitted(?=:)|values accepted for enum class"
    r"|supports?(?: only)?|choose from)"
    r"\b ?[:=]? ?(?P<values>[\[({]?[`'\"“”‘’]?[\w-]{1,20}[^.;\n]{0,300})",
    re.IGNORECASE,
)
_VALUE: Final = re.compile(r"[A-Za-z][\w-]{0,30}")
_QUOTED_VALUE: Final = re.compile(rf"{_QUOTE}([A-Za-z][\w-]{{0,30}}){_QUOTE}")
# Which field has the wrong word: pydantic, JSON Schema, OpenAI, serde, Go's checks and its JSON, protobuf.
_OF_FIELD: Final = re.compile(
    rf"{_NAME}(?:: ?|\s{{1,4}})(?:input should be|unexpected value; permitted|unknown variant|invalid enum value)"
    rf"|{_QUOTE}? ?(?:-|in|for) {_QUOTE}(?P<named>{_PATH}){_QUOTE}"
    rf"|invalid value (?:\(?{_QUOTE}[\w. -]{{1,40}}{_QUOTE}\)? )?(?:for|at|in) (?:the )?(?:{_FIELD} )?"
    rf"{_QUOTE}?(?P<given>{_PATH})"
    rf"|(?P<checked>{_PATH}){_QUOTE}?:? (?:\([^)]{{1,60}}\) )?(?:{_FIELD} )?(?:must|should|has to|can only) be"
    rf"|(?P<invalid>{_PATH}){_QUOTE}?: (?:invalid|unsupported|unknown|unexpected) (?:value|option)"
    rf"|(?:invalid|unknown|unsupported) {_QUOTE}?(?P<adjective>{_PATH}){_QUOTE}?(?::| {_QUOTE})"
    rf"|Key: {_QUOTE}(?P<key>{_PATH}){_QUOTE} Error:Field validation"
    rf"|Go (?:struct field|value of type) (?P<field>{_PATH})",
    re.IGNORECASE,
)
_LOOSE: Final = re.compile(r"(?:expected|be)[ :=]{0,3}$", re.IGNORECASE)
_NO_LIST: Final = re.compile(r"(?:for|in|on|of|with|by|to|when|at) ", re.IGNORECASE)
_WRONG_KIND: Final = re.compile(r"cannot unmarshal|failed on the .?oneof|invalid value at", re.IGNORECASE)
_OF_VALUE: Final = re.compile(
    rf"(?:unsupported value|invalid value|invalid enum value|value):? ?{_QUOTE}(?P<value>[\w. -]{{1,40}}){_QUOTE}"
    rf"|{_QUOTE}(?P<quoted>[\w-]{{1,40}}){_QUOTE} (?:is not|was provided|not|is an? (?:invalid|unsupported))"
    rf"|received {_QUOTE}(?P<received>[\w-]{{1,40}}){_QUOTE}"
    rf"|(?:input_value=|unknown variant |from string ){_QUOTE}(?P<input>[\w-]{{1,40}}){_QUOTE}"
    r"|\bgiven=(?P<given>[\w-]{1,40})",
    re.IGNORECASE,
)
_ABOUT_SUPPORT: Final = re.compile(
    r"not supported|unsupported|unknown|unrecognized|not permitted|not allowed|not available|deprecated|unexpected"
    r"|no longer",
    re.IGNORECASE,
)
PARAM_CODES: Final = frozenset(
    {"unsupported_parameter", "unknown_parameter", "unsupported_value", "invalid_parameter", "unexpected_parameter"}
)
"""Codes that say of ``param`` that the request would do without it."""
EFFORT_CODE: Final = "invalid_reasoning_effort"


def names_in(found: re.Match[str]) -> Iterator[str]:
    """What a match of one of the patterns names, in order: paths as upstream writes them, betas with their mark."""
    groups = found.groupdict()
    if groups.get("betas"):
        betas = [one.strip(_EDGES) for one in _SEPARATOR.split(groups["betas"])]
        yield BETA + ",".join(dict.fromkeys(one for one in betas if "-" in one))
        return
    if groups.get("name"):
        yield groups["name"].rstrip(".:/")
    for one in _SEPARATOR.split(groups.get("names") or ""):
        if name := one.strip(_EDGES):
            yield name


def values_in(text: str) -> list[str]:
    """The values that a refusal says it would take, in its order; [] if it lists none."""
    for found in _LISTED.finditer(text):
        if found["values"].lstrip("[({ ").startswith(tuple("`'\"“‘")):
            values = _QUOTED_VALUE.findall(found["values"])
        elif _LOOSE.search(found[0][: found.start("values") - found.start()]) or _NO_LIST.match(found["values"]):
            continue  # "must be a list", "a valid effort for this model": words, and no values
        else:
            values = [
                one for one in _VALUE.findall(found["values"]) if one not in ("and", "or", "received", "but", "got")
            ]
        if values:
            return list(dict.fromkeys(values))
    return []


def fields_of_values(text: str) -> Iterator[str]:
    """The paths of which a refusal says that they hold the wrong word, as it writes them."""
    for found in _OF_FIELD.finditer(text):
        yield next(one for one in found.groups() if one).rstrip(".:/")


def is_of_wrong_kind(text: str) -> bool:
    """Whether a refusal says that a field cannot hold what it does, without a list of what it would take."""
    return _WRONG_KIND.search(text) is not None


def refused_value(text: str) -> str | None:
    """The value that a refusal quotes as the one it does not take."""
    found = _OF_VALUE.search(text)
    return next((one for one in found.groups() if one), None) if found is not None else None


def is_about_support(text: str) -> bool:
    """Whether a text speaks of something not being supported at all, so that its ``param`` can be left out."""
    return _ABOUT_SUPPORT.search(text) is not None
