"""Words that no dictionary of a guard's languages has: what is too short, or written too freely, for a detector of
languages."""

import re
from collections.abc import Container, Sequence, Set
from functools import cache

from .disguise import DICTIONARIES, dictionary, known_words

ROW = 2
"""Unknown words in a row are foreign. Of 6,950 English texts (XSTest and answers to it, MM-SafetyBench, safety-tuned
LLaMAs, GSM8K, MATH) one has them, and of 302 answers of HarmBench 5, which name chemicals."""
LONG, ALONE = 20, 10
"""Letters of an unknown word from which on it is several without the blanks between them: among others, and by itself
in a sentence."""
LEAST = 6
"""Letters of a sentence whose words are counted."""
_INFORMAL = frozenset(
    {
        "afaik", "asap", "brb", "btw", "dm", "faq", "fyi", "gonna", "gotta", "haha", "hahaha", "hmm", "hmmm", "idc",
        "idk", "iirc", "imho", "imo", "irl", "kinda", "lmao", "lol", "nah", "nope", "nvm", "ok", "okay", "omg", "pls",
        "plz", "rofl", "smh", "sorta", "tbh", "thx", "tldr", "tysm", "ugh", "wanna", "wtf", "ya", "yall", "yay", "yeah",
        "yep", "yup",
    }
)  # fmt: skip
_TECHNICAL = frozenset(
    {
        "ai", "api", "app", "apps", "apt", "arxiv", "async", "awk", "backend", "bar", "bashrc", "baz", "blog",
        "boolean", "callback", "callbacks", "cd", "changelog", "chatbot", "checksum", "chmod", "chown", "cli",
        "codebase", "codegen", "config", "configs", "coroutine", "cp", "cpu", "crypto", "css", "csv", "curl", "cyber",
        "dataframe", "dataset", "datasets", "debug", "debugger", "decorator", "diff", "dropdown", "emoji", "emojis",
        "env", "filename", "filenames", "foo", "frontend", "git", "github", "gpu", "grep", "hashtag", "hashtags",
        "hostname", "html", "http", "https", "init", "int", "integer", "ip", "ips", "iterable", "iterator", "json",
        "kubernetes", "lambda", "linux", "localhost", "login", "ls", "malware", "metadata", "middleware", "mixin",
        "mkdir", "mv", "namespace", "nginx", "ngram", "npm", "null", "opcode", "param", "params", "parser", "pdf",
        "php", "pip", "plugin", "plugins", "podcast", "podcasts", "popup", "postgres", "preprocess", "proxy",
        "python", "rebase", "regex", "regexes", "repo", "repos", "rm", "rmdir", "runtime", "sandbox", "scrollbar",
        "sed", "selfie", "selfies", "serializer", "setup", "smartphone", "smartphones", "spreadsheet", "spyware",
        "sql", "sqlite", "ssh", "ssl", "stdin", "stdout", "str", "subclass", "subclasses", "submodule", "subprocess",
        "substring", "sudo", "sync", "syntax", "tar", "tcp", "timestamp", "timestamps", "tokenizer", "toolbar",
        "tooltip", "tuple", "tuples", "udp", "unicode", "unittest", "url", "urls", "usecase", "usecases", "username",
        "usernames", "utf", "validator", "vpn", "webinar", "webpage", "website", "websites", "wget", "whitespace",
        "wifi", "wildcard", "workflow", "workflows", "xml", "yaml", "zip",
    }
)  # fmt: skip
"""Younger than the dictionary's sources."""
_PARTS = re.compile("['’-]")


def outside(words: Sequence[str], languages: Set[str], code: bool = False) -> bool:
    """Whether so many of the words of one sentence are in no dictionary of these languages that it is in another one:
    ROW of them in a row, or half of a sentence. What has a capital is a name and not counted, but for the first word
    beside another that is counted. In code only a row says so, since comments are full of names. Without a dictionary
    of each language nothing is known, and nothing said."""
    if not languages <= DICTIONARIES:
        return False
    known = _words(frozenset(languages))
    strange = [(word[0].islower() or len(word) >= LONG) and not _known(word, known) for word in words]
    if not any(strange):
        return False
    if any(all(strange[n : n + ROW]) for n in range(len(words) - ROW + 1)):
        return True
    if code:
        return False
    least = LONG if len(words) > 1 else ALONE
    if any(len(word) >= least and word.isalpha() for word, each in zip(words, strange, strict=True) if each):
        return True
    counted = [word for n, word in enumerate(words) if n == 0 or not word[0].isupper()]
    unknown = sum(strange) + (words[0][0].isupper() and not _known(words[0], known))
    return len(counted) >= ROW and 2 * unknown >= len(counted) and sum(map(len, counted)) >= LEAST


def _known(word: str, known: Container[str]) -> bool:
    """A word as it stands, or all parts of a composed one; what an apostrophe leaves of one letter says nothing."""
    low = word.lower()
    return low in known or all(len(part) < 2 or part in known for part in _PARTS.split(low))


@cache
def _words(languages: frozenset[str]) -> frozenset[str]:
    own = dictionary(languages).keys()
    return frozenset(own | known_words() | _INFORMAL | _TECHNICAL) if "en" in languages else frozenset(own)
