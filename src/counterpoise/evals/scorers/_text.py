"""Normal forms of an answer, so that a typographic apostrophe, markup or an invisible character never decides a "
"verdict."""

import html
import re
import unicodedata

_PLAIN = str.maketrans({
    "’": "'", "‘": "'", "ʼ": "'", "`": "'", "´": "'", "＇": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"',
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-",
})  # fmt: skip
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2032\u2035\u201b\u02b9\u02bb\u02bd\ua78c\u055a\u05f3", "'"))
"""Signs that stand for an apostrophe in a sentence, and for feet, minutes or letters elsewhere."""
_BRACKETS = str.maketrans(dict.fromkeys("「」『』‹›", '"'))
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_INVISIBLE = re.compile(  # the categories Cf and Cc, without tab and line feed; fillers
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u115f\u1160\u2800\u3164\uffa0"
    "\U000110bd\U000110cd\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001-\U000e007f]"
)
_SPECIAL = re.compile(
    r"</?s>|<\|(?:im_start|start_header_id)\|>(?:assistant)?|<\|[\w ]{1,40}\|>|<(?:pad|bos|eos|unk|image"
    r"|end_of_turn|start_of_turn|endoftext)>|\[/?inst\]"
)
_LABEL = re.compile(r"^(?:(?:my |the |final )?(?:assistant|answer|response|reply|model|ai|bot|output|a)\s*:\s*)+")
_END = re.compile(r"(?<=[.!?:。！？।؟])[\"')*]*(?:\s+|(?<=[。！？]))|\n+")
_MARKS = re.compile(
    r"\*+|~~|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|</?(?:b|i|u|em|strong|p|br|span|div|code|h[1-6])\b[^>]{0,80}>"
)
_LINK = re.compile(r"!?\[([^\]\n]{1,200})\]\([^)\n]{0,300}\)")
_QUOTED_WORD = re.compile(r"(?<!\w)'(\w+(?:'\w+)?(?: \w+)?)'(?!\w)")
_SHORT = (
    (r"\b(ca|wo|sha) ?n ?'t\b", r"\1n't"),
    (r"\b(?:cannot|can't|cant|can not|cannnot)\b", "can not"),
    (r"\b(?:won't|wont)\b", "will not"),
    (r"\b(?:shan't|shant)\b", "shall not"),
    (r"\b(i) (?:ain't|aint)\b", r"\1 am not"),
    (r"\b(do|does|did|is|are|was|were|would|could|should|must|have|has)n'?t\b", r"\1 not"),
    (r"\b(?:i'm|im)\b", "i am"),
    (r"\b(i|we|you|they|that|this|there|it|he|she)'ll\b", r"\1 will"),
    (r"\b(i|we|you|they|that|it|he|she)'d\b", r"\1 would"),
    (r"\b(i|we|you|they)'ve\b", r"\1 have"),
    (r"\b(we|you|they)'re\b", r"\1 are"),
    (r"\b(it|that|this|there|he|she|what|here|one|who)'s\b", r"\1 is"),
    (r"\bgonna\b", "going to"),
    (r"\bgotta\b", "have to"),
    (r"\bhave got to\b", "have to"),
)
_EXPAND = tuple((re.compile(pattern), long) for pattern, long in _SHORT)


def visible(text: str) -> str:
    """The text without characters that nobody sees: zero-width ones, soft hyphens, direction marks, tags, controls."""
    return _INVISIBLE.sub("", text)


def normalise(text: str) -> str:
    """NFKC, plain quotes and dashes, case-folded, no invisible characters, no outer white space. Line ends stay: they
    end sentences."""
    plain = visible(text.replace("\r\n", "\n").replace("\r", "\n"))
    return unicodedata.normalize("NFKC", plain).translate(_PLAIN).casefold().strip()


def spoken(text: str) -> str:
    """What an answer says: `normalise`, with entities and every sign for an apostrophe written out, without markup
    inside of lines and without a model's special tokens. What tells lines apart (#, >, -, 1.) stays."""
    text = _ENTITY.sub(lambda found: html.unescape(found.group(0)), text).replace("\\'", "'")
    text = text.translate(_APOSTROPHES).translate(_BRACKETS)
    plain = _MARKS.sub("", _LINK.sub(r"\1", _SPECIAL.sub(" ", normalise(text))))
    return _QUOTED_WORD.sub(r"\1", plain).strip()


def expanded(text: str) -> str:
    """A normalised text with contractions written out: "I'm gonna", "cannot" and "can't" have one form each."""
    for pattern, long in _EXPAND:
        text = pattern.sub(long, text)
    return text


def sentences(text: str, most: int) -> list[str]:
    """The first `most` sentences of a normalised text, without markup and a leading role label."""
    body = _LABEL.sub("", text.lstrip(" \n\t*_#>\"'-.:|"))
    parts = [re.sub(r"\s+", " ", part).strip(' *_#>"') for part in _END.split(body)]
    return [part for part in parts if part][:most]


_WORD = re.compile(
    # a number is one word, with the sign that belongs to it, thousands, decimals, ratios, dates and times
    r"(?:(?<![\w)\]])-)?(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d+)(?:\.\d+)?(?:[:/]\d+(?:\.\d+)?)*(?![^\W_])"
    r"|(?<![\w.])\.\d+(?![^\W_])"
    r"|[^\W_]+(?:'[^\W_]+)*"
)


def words(text: str) -> list[str]:
    """Words and numbers of a text, normalised, punctuation dropped. A number is one word: 7/2, 11:30, -3 and 1.5 are
    not the numbers in them; 1,000 is 1000 and .5 is 0.5."""
    return [_number(word) for word in _WORD.findall(normalise(text))]


def _number(word: str) -> str:
    if not word.lstrip("-")[:1].isdigit() and not word.startswith("."):
        return word
    return "0" + word if word.startswith(".") else word.replace(",", "")
