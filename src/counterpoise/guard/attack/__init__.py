"""A red-team suite for guards: disguised, diluted, translated, drawn and hidden requests with their benign controls."""

from ._attacks import FAMILIES, ON_SERVERS, Attack, attacks, pairs, translations
from ._run import (
    RESULTS,
    AttackRule,
    Share,
    about,
    attack,
    fitting,
    not_run,
    parse_attack_rule,
    save,
    shares,
    unkept,
)
from ._targets import GuardTarget, Outcome, ServerTarget, Target, target

__all__ = [
    "FAMILIES",
    "ON_SERVERS",
    "RESULTS",
    "Attack",
    "AttackRule",
    "GuardTarget",
    "Outcome",
    "ServerTarget",
    "Share",
    "Target",
    "about",
    "attack",
    "attacks",
    "fitting",
    "not_run",
    "pairs",
    "parse_attack_rule",
    "save",
    "shares",
    "target",
    "translations",
    "unkept",
]
