"""A red-team suite for guards: disguised, diluted, translated, drawn and hidden requests with their benign controls."""

from ._attacks import FAMILIES, ON_SERVERS, Attack, attacks, pairs, translations
from ._run import (
    AttackRule,
    GuardTarget,
    Outcome,
    ServerTarget,
    Share,
    Target,
    attack,
    fitting,
    not_run,
    parse_attack_rule,
    save,
    shares,
    target,
    unkept,
)

__all__ = [
    "FAMILIES",
    "ON_SERVERS",
    "Attack",
    "AttackRule",
    "GuardTarget",
    "Outcome",
    "ServerTarget",
    "Share",
    "Target",
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
