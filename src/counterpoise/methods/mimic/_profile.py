"""What a user's set looks like: roles, system texts, constant text, options, lengths of answers, languages."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from counterpoise.chat import Sample
from counterpoise.data.frames import Formats, Slot
from counterpoise.evals.scorers import language


def profile(rows: Sequence[Sample], formats: Formats) -> dict[str, Any]:
    """The profile of a sample of the set, ready for JSON. Lengths of answers are in words (5th, 50th, 95th percentile);
    an answer form is that of at least nine rows in ten, else `mixed`."""
    roles = Counter(" ".join(message.role for message in row.messages) for row in rows)
    systems = Counter(row.messages[0].text for row in rows if row.messages[0].role == "system")
    answers = [row.messages[-1].text for row in rows if row.messages[-1].role == "assistant"]
    words = sorted(len(answer.split()) for answer in answers)
    languages = Counter(language(row.text) for row in rows)
    return {
        "rows": len(rows),
        "roles": dict(roles.most_common(5)),
        "systems": len(systems),
        "system": systems.most_common(1)[0][0] if systems else None,
        "images": dict(Counter(sum(len(message.images) for message in row.messages) for row in rows)),
        "languages": dict(languages.most_common(5)),
        "answer_words": [words[len(words) * part // 100] for part in (5, 50, 95)] if words else None,
        "answer_form": _form(answers),
        "formats": [
            {
                **each.json(),
                "share": share,
                "prefix": each.parts[0] if isinstance(each.parts[0], str) else "",
                "suffix": each.parts[-1] if isinstance(each.parts[-1], str) else "",
                "delimiters": list(each.constants),
                "options": [part.count for part in each.parts if isinstance(part, Slot) and part.kind == "options"],
            }
            for each, share in zip(formats.templates, formats.shares, strict=True)
        ],
        "unmatched": formats.unmatched,
    }


def _form(answers: Sequence[str]) -> str:
    def one(answer: str) -> str:
        text = answer.strip().rstrip(".)")
        if len(text) == 1 and text.isalpha():
            return "letter"
        if text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit():
            return "number"
        return "short text" if len(text.split()) <= 5 else "text"

    counts = Counter(map(one, answers)).most_common(1)
    return counts[0][0] if counts and counts[0][1] >= 0.9 * len(answers) else "mixed"
