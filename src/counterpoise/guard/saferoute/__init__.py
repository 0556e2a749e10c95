"""SafeRoute (Lee et al., ACL Findings 2025): decide per request whether a small guard's verdict can be trusted or a
large guard must look, from the small guard's own hidden state. Works for any two guards, with images too.

`train_route` -> a folder; `Routed` is the pair as one guard; `evaluate_route` is the table with all baselines.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._baselines import entropy
    from ._conformal import conformal_threshold
    from ._evaluate import Evaluation, evaluate_folder, evaluate_route
    from ._labels import routing_labels
    from ._observe import Observed, observe
    from ._paraphrase import by_model, by_rules
    from ._routed import Routed, saferoute
    from ._router import FeatureSpec, Router, load_router
    from ._settings import RouterConfig, router_config
    from ._table import against_better, markdown
    from ._train import Trained, train_route

_PLACES = {
    "Evaluation": "_evaluate",
    "FeatureSpec": "_router",
    "Observed": "_observe",
    "Routed": "_routed",
    "Router": "_router",
    "RouterConfig": "_settings",
    "Trained": "_train",
    "against_better": "_table",
    "by_model": "_paraphrase",
    "by_rules": "_paraphrase",
    "conformal_threshold": "_conformal",
    "entropy": "_baselines",
    "evaluate_folder": "_evaluate",
    "evaluate_route": "_evaluate",
    "load_router": "_router",
    "markdown": "_table",
    "observe": "_observe",
    "router_config": "_settings",
    "routing_labels": "_labels",
    "saferoute": "_routed",
    "train_route": "_train",
}

__all__ = [
    "Evaluation",
    "FeatureSpec",
    "Observed",
    "Routed",
    "Router",
    "RouterConfig",
    "Trained",
    "against_better",
    "by_model",
    "by_rules",
    "conformal_threshold",
    "entropy",
    "evaluate_folder",
    "evaluate_route",
    "load_router",
    "markdown",
    "observe",
    "router_config",
    "routing_labels",
    "saferoute",
    "train_route",
]


def __getattr__(name: str) -> Any:
    """Parts that need torch are imported when first used."""
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(name)
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
