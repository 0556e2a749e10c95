"""Words of other languages: what is too short, or written too freely, for a detector of languages.

A word counts as foreign when English has it nowhere and another language has it for certain: in a dictionary, among the
commonest words of a language that is typed in Latin letters, or with letters that English does not have. That no
dictionary knows a word says nothing by itself: most such words are names, products, dishes and new.
"""

import re
from collections.abc import Iterable, Sequence, Set
from functools import cache, lru_cache

from .disguise import DICTIONARIES, dictionary, known_words

OFTEN = 100
"""Counts of a word in another language's dictionary from which on it is one of its words, not a name or a slip."""
LEAST = 6
"""Letters of a sentence whose words are counted."""
SEVERAL, SURELY = 4, 2
"""Different foreign words in one text, wherever they stand; one of `_ROMANISED` counts for two, since English texts
name dishes in French, and nothing in those."""
_LATIN = ("de", "es", "fr", "it", "nl", "pt")
_ROMANISED = {
    "hi": "aap aapka abhi aur bahut banane banao banaye banayen bataiye batao bataye bhi chahiye chori churana "
    "churane churaye dijiye hai hain hoon hota hoti jata jaye kaha kahan kaise kare karen karke karna karne karo "
    "karoon kaun kholna kholne kisi kiska kitna kiya kya kyon kyun liye mein mera meri mujhe nahi nahin sakta sakte "
    "sakti sikhao sikhaye tareeka tarika tode todna todne tumhara unka uske yah yeh",
    "zh": "bieren chuli duoshao fangfa gaosu genggai huzhao jihua jingcha keyi nimen qiangjie ruhe shenme tamen "
    "weishenme xiangyao yige yinhang zenme zenmeyang zhege zheige zhidao zhizao",
    "ru": "chego chto dai dlya gde kak kakoi kogda krast kto kupit menya mne mozhno nado nauchi nelzya ograbit "
    "otkryt plan pochemu podskazhi pomogi rasskazhi sdelat skazhi ubit ukrast zakazat",
    "ar": "aatini albank allemni ana ayna bidoun bidun hatha kaifa kayf kayfa keif keifa khutta kif limatha litalab "
    "matha mumkin urid uridu yumkin yumkinuni",
    "vi": "cach cua duoc giup khong lam muon nguoi nhieu nhung toi trom",
    "ja": "arimasu desu doko doyatte hoshii itsu kudasai masu nani naze nusumu oshiete shite suru tsukurikata "
    "tsukuru watashi",
    "ko": "alryeojwo annyeong eotteoke hago haneun haneunji juseyo mandeuneun mwoya",
}
"""Common words of requests as people type them without their letters. What English has as well is not counted."""
_INFORMAL = frozenset(
    {
        "afaik", "afk", "alot", "asap", "bc", "bday", "bot", "brb", "bro", "bruh", "btw", "cuz", "dm", "dunno", "faq",
        "fyi", "gg", "gimme", "gm", "gonna", "gotta", "haha", "hahaha", "hbu", "hmm", "hmmm", "hw", "idc", "idk",
        "iirc", "ik", "ikr", "imho", "imo", "irl", "kinda", "lemme", "lmao", "lmk", "lol", "lowkey", "meme", "memes",
        "nah", "ngl", "nite", "nope", "nvm", "ok", "okay", "omg", "pls", "plz", "ppl", "rn", "rofl", "smh", "sorta",
        "sth", "sus", "tbh", "tho", "thru", "thx", "tldr", "tmrw", "tonite", "tysm", "u", "ugh",
        "ur", "wanna", "wp", "wtf", "wyd", "ya", "yall", "yay", "yeah", "yep", "yup",
    }
)  # fmt: skip
_TECHNICAL = frozenset(
    {
        "ai", "airbnb", "api", "app", "apps", "apt", "arxiv", "async", "awk", "backend", "bar", "bashrc", "baz",
        "bitcoin", "blog", "boolean", "callback", "callbacks", "cd", "changelog", "chatbot", "chatgpt", "checksum",
        "chmod", "chown", "cli", "codebase", "codegen", "config", "configs", "coroutine", "covid", "cp", "cpu",
        "crypto", "css", "csv", "curl", "cyber", "dataframe", "dataset", "datasets", "debug", "debugger",
        "decorator", "diff", "discord", "dropdown", "emoji", "emojis", "env", "ethereum", "filename", "filenames",
        "foo", "fortnite", "frontend", "git", "github", "gpt", "gpu", "grep", "hashtag", "hashtags", "hdmi",
        "hostname", "html", "http", "https", "init", "instagram", "int", "integer", "ip", "ips", "iterable",
        "iterator", "json", "keto", "kubectl", "kubernetes", "lambda", "linux", "llm", "localhost", "login", "ls",
        "malware", "metadata", "middleware", "minecraft", "mixin", "mkdir", "modulo", "mv", "namespace", "nginx",
        "ngram", "npm", "null", "numpy", "opcode", "openai", "paleo", "pandas", "param", "params", "parser", "pdf",
        "php", "pip", "plugin", "plugins", "podcast", "podcasts", "pokemon", "popup", "postgres", "preprocess",
        "proxy", "python", "pytorch", "rebase", "regex", "regexes", "repo", "repos", "rm", "rmdir", "roblox",
        "runtime", "sandbox", "screenshot", "screenshots", "scrollbar", "sed", "selfie", "selfies", "serializer",
        "setup", "smartphone", "smartphones", "spotify", "spreadsheet", "spyware", "sql", "sqlite", "ssd", "ssh",
        "ssl", "stdin", "stdout", "str", "subclass", "subclasses", "submodule", "subprocess", "substring", "sudo",
        "sync", "syntax", "tar", "tcp", "tiktok", "timestamp", "timestamps", "tokenizer", "toolbar", "tooltip",
        "tuple", "tuples", "uber", "udp", "unicode", "unittest", "url", "urls", "usb", "usecase", "usecases",
        "username", "usernames", "utf", "validator", "vlog", "vpn", "webinar", "webpage", "website", "websites",
        "wget", "whatsapp", "whitespace", "wifi", "wildcard", "workflow", "workflows", "xbox", "xml", "yaml",
        "youtube", "zip",
    }
)  # fmt: skip
"""Younger than the dictionary's sources."""
_BRITISH = (
    ("our", "or"), ("tre", "ter"), ("bre", "ber"), ("is", "iz"), ("ys", "yz"), ("ae", "e"), ("oe", "e"), ("gue", "g"),
    ("ll", "l"), ("lle", "l"), ("mme", "m"), ("nce", "nse"), ("ou", "o"), ("que", "ck"), ("y", "i"), ("ium", "um"),
)  # fmt: skip
_PARTS = re.compile("['’-]")
_MORE = re.compile(r"(.)\1{2,}")


def foreign(sentences: Iterable[Sequence[str]], anywhere: Iterable[str], languages: Set[str]) -> bool:
    """Whether a text is partly in another language than these, by its words.

    Args:
        sentences: the words of each sentence. Two of them in a row of which one is foreign and the other unknown say
            so, or half of a sentence's if one is foreign. What has a capital is a name and not counted, but for the
            first word beside others.
        anywhere: all words of the text, those that hang on signs too: SEVERAL foreign ones in small letters say so.

    Without a dictionary of each language nothing is known, nothing said, and neither is looked at.
    """
    own = frozenset(languages)
    if not own <= DICTIONARIES:
        return False
    return any(_foreign(words, own) for words in sentences) or _several(frozenset(anywhere), own)


def _foreign(words: Sequence[str], languages: frozenset[str]) -> bool:
    strange = [word[0].islower() and not _known(word, languages) for word in words]
    if not any(strange):
        return False
    certain = [each and _theirs(word, languages) for word, each in zip(words, strange, strict=True)]
    if not any(certain):
        return False
    for n in range(len(words) - 1):
        if strange[n] and strange[n + 1] and (certain[n] or certain[n + 1]):
            return True
    counted = [word for n, word in enumerate(words) if n == 0 or not word[0].isupper()]
    unknown = sum(strange) + (words[0][0].isupper() and not _known(words[0], languages))
    return len(counted) > 1 and 2 * unknown >= len(counted) and sum(map(len, counted)) >= LEAST


def _several(words: Set[str], languages: frozenset[str]) -> bool:
    found = 0
    for word in words:
        if word[0].islower() and not _known(word, languages) and _theirs(word, languages):
            found += SURELY if word in _romanised(languages) else 1
        if found >= SEVERAL:
            return True
    return False


@lru_cache(maxsize=65536)
def _known(word: str, languages: frozenset[str]) -> bool:
    """Whether these languages have a word, as it stands or all parts of a composed one; in English also in British
    spelling, and with letters drawn out."""
    known, low = _words(languages), word.lower()
    if low in known or all(len(part) < 2 or part in known for part in _PARTS.split(low)):
        return True
    if "en" not in languages:
        return False
    if any(low.replace(ours, theirs) in known for ours, theirs in _BRITISH if ours in low):
        return True
    return (short := _MORE.sub(r"\1", low)) != low and (short in known or _MORE.sub(r"\1\1", low) in known)


@lru_cache(maxsize=65536)
def _theirs(word: str, languages: frozenset[str]) -> bool:
    """Whether another language has this word for certain."""
    return not word.isascii() or word.lower() in _others(languages)


@cache
def _words(languages: frozenset[str]) -> frozenset[str]:
    own = frozenset(dictionary(languages))
    if "en" not in languages:
        return own
    bare = (word.replace("'", "") for word in own if "'" in word)
    return own.union(bare, known_words(), _INFORMAL, _TECHNICAL)


@cache
def _others(languages: frozenset[str]) -> frozenset[str]:
    found = set(_romanised(languages))
    for name in set(_LATIN) - languages:
        found |= {word for word, count in dictionary({name}).items() if count >= OFTEN and word.isalpha()}
    return frozenset(word for word in found if len(word) > 1)


@cache
def _romanised(languages: frozenset[str]) -> frozenset[str]:
    return frozenset(word for name, own in _ROMANISED.items() if name not in languages for word in own.split())
