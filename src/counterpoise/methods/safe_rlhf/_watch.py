"""What a run of PPO logs in every step, and what it warns of early."""

from collections.abc import Sequence

from counterpoise.chat import Sample
from counterpoise.evals import scorers

from ._episodes import Estimates, Looked
from ._math import divergence, explained_variance
from ._rollouts import Episode


def step_sums(episodes: Sequence[Episode], looked: Looked, estimates: Estimates) -> dict[str, float]:
    """Sums over episodes (and tokens) of this process, with what they are to be divided by."""
    refusal, broken = scorers.get("opening"), scorers.get("broken")
    asked = Sample("", ())
    refused = [bool(refusal(asked, episode.text).value) for episode in episodes]
    torn = [bool(broken(asked, episode.text).value) for episode in episodes]
    kept = looked.mask
    tokens = float(kept.sum())
    kl = divergence(looked.logp, looked.ref_logp, kept)
    n = float(len(episodes))
    found = {
        "episodes": n, "tokens": tokens, "reward": float(looked.rewards.sum()), "cost": float(looked.costs.sum()),
        "refused": float(sum(refused)), "broken": float(sum(torn)), "cut": float(sum(not e.whole for e in episodes)),
        "kl_k1": kl.k1 * tokens, "kl_k3": kl.k3 * tokens, "entropy": float(looked.entropy[kept].sum()),
        "reward_explained": explained_variance(looked.reward_values[kept], estimates.reward_returns[kept]) * n,
        "cost_explained": explained_variance(looked.cost_values[kept], estimates.cost_returns[kept]) * n,
    }  # fmt: skip
    gaps = [abs(theirs - ours) for episode, logp in zip(episodes, looked.logp.tolist(), strict=True)
            for theirs, ours in zip(episode.served, logp, strict=False)]  # fmt: skip
    found |= {"served_tokens": float(len(gaps)), "served_gap": sum(gaps)}
    for side in (True, False):
        own = [place for place, episode in enumerate(episodes) if episode.harmful is side]
        name = "harmful" if side else "benign"
        found |= {f"{name}_episodes": float(len(own)), f"refused_{name}": float(sum(refused[place] for place in own))}
        found[f"cost_{name}"] = float(looked.costs[own].sum())
    return found


def averaged(sums: dict[str, float]) -> dict[str, float]:
    """Means over the episodes, or over the tokens, of all processes."""
    sums = dict(sums)
    per = {"kl_k1": "tokens", "kl_k3": "tokens", "entropy": "tokens", "refused_harmful": "harmful_episodes",
           "refused_benign": "benign_episodes", "cost_harmful": "harmful_episodes",
           "cost_benign": "benign_episodes", "served_gap": "served_tokens"}  # fmt: skip
    counts = ("episodes", "tokens", "harmful_episodes", "benign_episodes", "served_tokens")
    found = {name: sums[name] for name in counts if name != "served_tokens"}
    for name, value in sums.items():
        if name not in counts:
            under = sums[per.get(name, "episodes")]
            if under:
                found[name] = value / under
    found["length"] = sums["tokens"] / sums["episodes"]
    return found


def early_warnings(history: Sequence[dict[str, float]], cap: float, span: int = 5) -> list[str]:
    """What goes wrong in a way that the user should see now, at the step where it shows first.

    The multiplier has stood at its cap for `span` steps: the budget cannot be met, or the cap is too low. The share of
    refusals has risen by a half of its way to 1, to at least 90 %, over the mean of the first `span` steps: the policy
    is learning to refuse everything. The share of broken replies has passed a fifth.
    """

    def signs(until: int) -> dict[str, str]:
        seen = history[:until]
        recent = seen[-span:]
        if len(recent) < span:
            return {}
        found = {}
        if all(line["lambda"] >= cap * (1 - 1e-9) for line in recent):
            found["cap"] = (
                f"PPO: the multiplier has been at its cap of {cap:g} for {span} steps; the cost stays above the "
                "budget. Raise budget or cap, or look at the cost model"
            )
        first, now = _mean(seen[:span], "refused"), _mean(recent, "refused")
        if len(seen) > span and now >= 0.9 and now - first >= 0.5 * (1 - first) and first < 0.9:
            found["refusals"] = (
                f"PPO: {now:.0%} of the replies are refusals, {first:.0%} in the first {span} steps: the policy is "
                "learning to refuse everything. Lower multiplier.init or cap, or mix in benign prompts"
            )
        if _mean(recent, "broken") > 0.2:
            found["broken"] = (
                f"PPO: {_mean(recent, 'broken'):.0%} of the replies are broken; raise beta or ptx, or lower the rate"
            )
        return found

    before = signs(len(history) - 1)
    return [text for name, text in signs(len(history)).items() if name not in before]


def _mean(lines: Sequence[dict[str, float]], name: str) -> float:
    return sum(line[name] for line in lines) / len(lines)
