"""The drift audit: refusals of a fine-tuned model against those of its base, as a release gate.

config = AuditConfig(base="pocket", tuned="runs/mine/adapter", out=Path("audits/mine"),
                     gates=(parse_gate("asr_increase>0.02"),))
result = run_audit(config)
"""

from ._audit import AuditResult, compare_models, merged_folder, run_audit
from ._config import ABILITY, SYSTEM, AuditConfig
from ._contrasts import Contrast, Pair, contrasts, decisions
from ._gates import Decision, Gate, parse_gate
from ._plan import audit_plan
from ._stress import ATTACKS, Attempt, StressConfig, StressResult, attack_rows
from ._write import headline, summary, write_junit, write_summary

__all__ = [
    "ABILITY",
    "ATTACKS",
    "SYSTEM",
    "Attempt",
    "AuditConfig",
    "AuditResult",
    "Contrast",
    "Decision",
    "Gate",
    "Pair",
    "StressConfig",
    "StressResult",
    "attack_rows",
    "audit_plan",
    "compare_models",
    "contrasts",
    "decisions",
    "headline",
    "merged_folder",
    "parse_gate",
    "run_audit",
    "summary",
    "write_junit",
    "write_summary",
]
