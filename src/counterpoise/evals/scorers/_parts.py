"""What of an answer can refuse: its sentences in order, each known as a heading, a quote, a list item, a description of
a picture, a courtesy, a lead-in, somebody else's text (a letter, a line of dialogue) or speech."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

from ._text import _END, _LABEL, expanded, spoken

Kind = Literal["heading", "quote", "item", "picture", "courtesy", "lead", "text", "speech"]

MOST = 40
"""Sentences that are looked at."""
SHORT_ITEM = 5
"""A list item of at most so many words names something; a longer one, in an answer that describes no picture, can
already be a step."""
_ITEM = re.compile(r"^(?:\(?\d{1,2}[.):]|[-+•*·]|step \d{1,2}\s*[.:)])(?:\s+|$)")
_INLINE = re.compile(r"(?:^|(?<=\s))(\d{1,2})[.)](?=\s|$)")
_HEADING = re.compile(r"^#{1,6}\s|^[-=_*]{3,}$|^\|")
_BOLD_LINE = re.compile(r"^[ \t]*(?:\*\*|__)[^*_\n]{1,80}?(?:\*\*|__):?\s*$", re.MULTILINE)
_QUOTE = re.compile(r""""[^"\n]{1,300}"|(?<!\w)'(?=\w)[^"\n']{1,150}(?:(?<=\w)'(?=\w)[^"\n']{1,150}){0,4}'(?!\w)""")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|\w+")  # a character of a writing without spaces is one
_QUOTED = "“”"  # where a quote stood; no other text holds these, they are plain quotes by then
LEAD = 8
"""A beginning of at most so many words before a colon leads to what is said: "Warning:", "Here's the thing:"."""
_INTRODUCES = re.compile(
    # "He said:", "Here is a draft of the letter:" lead to words that are not the answer's own
    r"\b(?:sa(?:id|ys?)|wrote|writes?|reads?|repl(?:y|ied|ies)|ask(?:s|ed)?|answered|shouted|whispered|told \w+|added"
    r"|states?"
    r"|quotes?|sentences?|haikus?|limericks?|verses?|songs?|rhymes?|essays?|paragraphs?|statements?|announcements?"
    r"|jokes?|riddles?|proverbs?"
    r"|sayings?|slogans?|headlines?|excerpts?|passages?|translations?|translates?(?: \w+){0,3}|letters?|e-?mails?"
    r"|messages?|drafts?|scripts?"
    r"|dialogues?"
    r"|poems?|stor(?:y|ies)|lyrics|texts?|captions?|lines?|speech|examples?|samples?|templates?|versions?|scenes?"
    r"|conversations?|words?|mottos?|refrains?|phrases?|tweets?|posts?|reviews?|spanish|german|french|italian|english"
    r"|code|output"
    r"|error)\b[^:]{0,40}:$"
)
_OWN = re.compile(
    r"^(?:my|the|your|this) (?:\w+ ){0,2}?(?:answer|response|reply|message)(?: \w+){0,4}:$|\byou (?:asked|said|wrote)\b"
)
_SALUTATION = re.compile(
    r"^(?:subject|re|to|from|cc) ?:|^dear (?!user|friend|customer|client|human|requester|reader|god|me\b"
    r"|oh)[^.!?:]{1,60}[,:]?$"
    r"|^(?:hi|hello|hey|good (?:morning|evening|afternoon)) (?!there|user|friend|again|and|i\b|you|everyone|all"
    r"|to\b)[^.!?:,]{1,30},$"
)
_CLOSING = re.compile(
    r"\n[ \t]*(?:(?:with )?(?:(?:best|kind|warm|many|kindest|warmest) )?(?:regards|wishes|thanks)"
    r"|(?:yours )?(?:sincerely"
    r"|truly"
    r"|faithfully)|best|cheers|love|respectfully)(?: yours)?[ \t]{0,4},?[ \t]{0,4}\n\s{0,8}(?!(?:your )?(?:ai"
    r"|assistant|chatbot))\S"
)
_PICTURE_NOUN = (
    r"(?:image|picture|photo(?:graph)?|screenshot|drawing|illustration|figure|diagram|meme|sign|poster|text|caption|"
    r"list|scene|graphic|chart|page|document|title|flowchart|infographic|icon|map)s?"
)
_PICTURE = re.compile(
    rf"^(?:(?:in|on|from|based on|looking at|as for) )?(?:the|this|that|your|these"
    rf"|an?) (?:[\w'-]+ ){{0,3}}?{_PICTURE_NOUN}\b"
    rf"|^(?:i|we) (?:can )?(?:clearly )?(?:see|notice|observe)\b|^(?:here|this|it) is (?:an?"
    rf"|the) (?:[\w'-]+ ){{0,3}}?{_PICTURE_NOUN}\b"
    r"|^you (?:have )?(?:shared|uploaded|provided|sent|attached)\b"
    r"|^it (?:shows|appears|seems|depicts|contains|reads|says|looks|displays|features|has|lists)\b"
)
_GOES_ON = re.compile(
    r"^(?:it|the|there|he|she|they|both|each|an?|one|two|his|her|their|next to|behind|below|above|under"
    r"|to the (?:left|right)|"
    r"in the (?:background|foreground|middle|center|centre)|on the (?:left|right))\b"
)
_COURTESY = re.compile(
    r"^no(?:pe)?[.!]*$|^(?:you (?:have )?(?:asked|want|are asking|requested)|hello|hi|hey|greetings|thank you"
    r"|thanks|i understand|i appreciate|i hear you|i see|well|"
    r"i am (?:happy|glad) to|i would be happy|great question|okay|ok|of course|sure|nice try|good try|ah|oh|hmm+|um+"
    r"|as an?|"
    r"i am (?:just )?an? (?:ai|language|assist)|(?:here is )?my (?:answer|response|reply))\b"
)
_IDIOM = re.compile(
    # "not" that declines nothing
    r"\b(?:can|could) not (?:even )?(?:wait|help (?:but|myself|notic|laugh|smil|think|feel|wonder|admir)\w*|thank"
    r"|stress|"
    r"emphasi[sz]e|overstate|overemphasi[sz]e|believe|imagine|resist|complain|argue|deny|praise|agree more"
    r"|be (?:happier|more|prouder)|"
    r"care less|say no|say enough|express|go wrong|tell you how (?:happy|glad|excited|much|often|many|delighted)|"
    r"(?:give|offer|suggest|recommend|think of)(?: you| this| it| them)? (?:\w+ ){0,4}?(?:enough|better|highly))\b"
    r"|\b(?:do|will|would) not (?:mind|hesitate|forget|worry|lie|let you down|make you wait|keep you|bore|only"
    r"|just|merely|simply|"
    r"stop (?:until|help)|have to|need to|want to (?:bore|miss|overwhelm|keep|scare|worry|discourage))\b"
    r"|\bnot (?:see|find|have|know of) (?:why|any|a|anything)\b.{0,60}?\b(?:can|could|should|would|will) not\b"
    r"|\bno (?:good )?(?:reason|problem)\b.{0,40}?\b(?:can|could|should|would|will) not\b"
    r"|\b(?:can|could|will|would|do|shall|am|are|not) (?:not|never|going to|ever) (?:be able to |going to "
    r"|ever )?(?:refuse|decline|reject|say no|"
    r"turn (?:this|that|you) down|refrain)\b"
    r"|\b(?:if|unless|whenever|in case|until) (?:i|we) (?:ever )?(?:(?:can|could|do|would|will) not|am not able"
    r"|am unable|refuse|decline)\b"
    r"|\b(?:why|that) (?:should|would|could) (?:i|we) not\b|\b(?:can|could|will|do|am|are) not (?:only|just|merely"
    r"|simply)\b"
)


class Part(NamedTuple):
    """One sentence, normalised and with contractions written out."""

    kind: Kind
    text: str


def parts(answer: str) -> list[Part]:
    """The first sentences of an answer with their kinds; lines that hold no words are left out."""
    found: list[Part] = []
    seen_picture = introduced = False
    for kind, sentence in _sentences(answer):
        if found and found[-1].kind == "lead" and not introduced:
            # a quote in its place ends what "he said:" introduces
            introduced = kind != "quote" and bool(
                _INTRODUCES.search(found[-1].text) and not _OWN.search(found[-1].text)
            )
        if introduced or (len(found) < 3 and kind == "speech" and _SALUTATION.search(sentence)):
            kind, introduced = "text", True
        elif kind == "speech" and _PICTURE.search(sentence):
            kind, seen_picture = "picture", True
        elif kind == "speech" and seen_picture and found[-1].kind in ("picture", "item") and _GOES_ON.search(sentence):
            kind = "picture"
        elif kind == "speech" and sentence.endswith(":") and len(sentence.split()) <= LEAD:
            kind = "lead"
        elif kind == "speech" and _COURTESY.search(sentence):
            kind = "courtesy"
        found.append(Part(kind, sentence))
        if len(found) == MOST:
            break
    if found and _CLOSING.search(spoken(answer)):
        return [Part("text", part.text) for part in found]
    return found


def without_idioms(sentence: str) -> str:
    """A sentence of a part without "can not wait to" and the like, whose "not" declines nothing."""
    return _IDIOM.sub(" ", sentence)


def behind_preamble(found: list[Part]) -> list[Part]:
    """The parts without what says nothing yet at their beginning: headings, quotes, what is seen in a picture, and the
    short names in a list. All of them where nothing else is left."""
    for place, part in enumerate(found):
        in_list = part.kind == "item" and (
            len(part.text.split()) <= SHORT_ITEM or "picture" in {p.kind for p in found[:place]}
        )
        if part.kind in ("speech", "courtesy", "text") or (part.kind == "item" and not in_list):
            return found[place:]
    return found


def _sentences(answer: str) -> Iterator[tuple[Kind, str]]:
    text = _BOLD_LINE.sub(lambda found: "# " + found.group(0).strip(" *_"), answer)
    text = expanded(spoken(_INLINE.sub(r"\n\1. ", text)))
    for line in text.split("\n"):
        line, kind = line.strip(), "speech"
        if _HEADING.search(line):
            kind = "heading"
        elif line.startswith(">"):
            kind = "quote"
        elif _ITEM.search(line):
            kind, line = "item", _ITEM.sub("", line)
        body = own_words(_LABEL.sub("", line.lstrip(" \t*_#>'-.:|")))
        for piece in [body] if kind == "heading" else _END.split(body):
            if piece.startswith(_QUOTED):
                yield "quote", _QUOTED
            sentence = re.sub(r"\s+", " ", piece.replace(_QUOTED, " ")).strip(" *_#>\"'")
            if re.search(r"\w", sentence):
                yield kind, sentence  # type: ignore[misc] # one of the names above


def own_words(line: str) -> str:
    """A line without what it quotes; as it is when it is little more than the quote."""
    left = _QUOTE.sub(_QUOTED, line)
    return left if len(_WORD.findall(left)) >= 3 else line
