"""The hidden states of simclinic's cases, and how often the best possible scores find the right radiograph.

A case has c (cardiomegaly), f (fluid), e (rhythm), l (laboratory pattern): uniform, independent. The radiograph shows
(c, f, s) with s = (e + l) mod 5, the ECG shows (c, e), the laboratory values show (f, l). So s is independent of the
ECG and of the laboratory values, and a function of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import comb

import numpy as np

from omni.data.building.counter_rng import CounterRng
from omni.errors import ConfigError

FIVE = 5
SHADOWS = (
    "none",
    "opacity of the right upper zone",
    "opacity of the left upper zone",
    "nodules of the right mid zone",
    "nodules of the left mid zone",
)
RHYTHMS = ("normal", "bradycardia", "long PR", "wide QRS", "irregular")
PATTERNS = ("unremarkable", "iron deficiency", "kidney injury", "bacterial inflammation", "liver cell injury")
NUM_XRAYS, NUM_ECGS, NUM_LABS = 4 * FIVE, 2 * FIVE, 2 * FIVE
CANDIDATES = 10
QUERIES = ("both", "ecg", "labs", "neither", "pairwise")


@dataclass(frozen=True, kw_only=True)
class Latents:
    """Hidden states of N cases, each (N,) int64."""

    c_N: np.ndarray
    f_N: np.ndarray
    e_N: np.ndarray
    l_N: np.ndarray

    def __len__(self) -> int:
        return len(self.c_N)

    @property
    def s_N(self) -> np.ndarray:
        """The shadow in the lungs, 0 to 4."""
        return (self.e_N + self.l_N) % FIVE

    @property
    def x_N(self) -> np.ndarray:
        """What the radiograph shows, 0 to 19."""
        return (self.c_N * 2 + self.f_N) * FIVE + self.s_N

    @property
    def ecg_N(self) -> np.ndarray:
        """What the ECG shows, 0 to 9."""
        return self.c_N * FIVE + self.e_N

    @property
    def labs_N(self) -> np.ndarray:
        """What the laboratory values show, 0 to 9."""
        return self.f_N * FIVE + self.l_N


def all_latents() -> Latents:
    """Each of the 100 states once."""
    c, f, e, l = (axis.ravel() for axis in np.meshgrid(*map(np.arange, (2, 2, FIVE, FIVE)), indexing="ij"))  # noqa: E741
    return Latents(c_N=c, f_N=f, e_N=e, l_N=l)


def draw_latents(rows: int, *seed: object) -> Latents:
    """``rows`` states in random order: every hundred holds each state once, so that a table of whole hundreds has
    exactly the frequencies of the population."""
    whole = all_latents()
    order = CounterRng("simclinic", "latents", *seed).permutations(-(-rows // len(whole)), len(whole)).ravel()[:rows]
    return Latents(c_N=whole.c_N[order], f_N=whole.f_N[order], e_N=whole.e_N[order], l_N=whole.l_N[order])


def draw_candidates(latents: Latents, *seed: object, count: int = CANDIDATES) -> np.ndarray:
    """int64 (N, count): for each case ``count`` cases of the same table whose radiographs show different things, one of
    them the case itself, the others uniform among the rest; their order is random.

    Raises:
        ConfigError: the table has too few different radiographs.
    """
    x_N = latents.x_N
    members = [np.flatnonzero(x_N == value) for value in range(NUM_XRAYS)]
    present = np.array([value for value in range(NUM_XRAYS) if len(members[value])])
    if not 1 <= count <= len(present):
        raise ConfigError(f"{count} candidates with different radiographs: the {len(x_N)} cases show {len(present)}.")
    rng = CounterRng("simclinic", "candidates", *seed)
    found = np.empty((len(x_N), count), dtype=np.int64)
    for row, own in enumerate(x_N.tolist()):
        others = [int(value) for value in present if value != own]
        picked = [others[place] for place in rng.permutations(1, len(others))[0][: count - 1]]
        cases = [int(members[value][rng.integers(len(members[value]), (1,))[0]]) for value in picked]
        found[row] = rng.shuffled([row, *cases])
    return found


def score_table(query: str) -> np.ndarray:
    """(100, 20) float64: the best score of each thing a radiograph may show, for each of ``all_latents``.

    "both", "ecg", "labs", "neither": the posterior of what is asked with. "pairwise": log p(x, ecg) / p(x) p(ecg) +
    log p(x, labs) / p(x) p(labs): the scores at which InfoNCE over the pairs is least (van den Oord et al., 2018).

    Raises:
        ConfigError: another query.
    """
    whole = all_latents()
    if query == "pairwise":
        return _pmi(whole.ecg_N, whole.x_N) + _pmi(whole.labs_N, whole.x_N)
    groups = {
        "both": whole.ecg_N * NUM_LABS + whole.labs_N,
        "ecg": whole.ecg_N,
        "labs": whole.labs_N,
        "neither": np.zeros(len(whole), dtype=np.int64),
    }
    if query not in groups:
        raise ConfigError(f"The query is one of {', '.join(QUERIES)}, not {query!r}.")
    return _conditional(groups[query], whole.x_N)


def exact_ceiling(query: str, *, count: int = CANDIDATES) -> Fraction:
    """The expected top-1 accuracy of the best scores of ``query`` among ``count`` candidates of different x, the wrong
    ones drawn uniformly. Ties are broken at random. Exact.

    For a true x with G better-scored and T equally scored others among M, the sum over h of
    C(T, h) C(M - G - T, count - 1 - h) / C(M, count - 1) / (1 + h): no better one is drawn, and h equal ones are.
    """
    scores = score_table(query)
    others, drawn = NUM_XRAYS - 1, count - 1
    total = Fraction(0)
    for row, own in enumerate(all_latents().x_N.tolist()):
        better = int((scores[row] > scores[row, own]).sum())
        equal = int((scores[row] == scores[row, own]).sum()) - 1
        worse = others - better - equal
        hits = sum(
            Fraction(comb(equal, h) * comb(worse, drawn - h), 1 + h)
            for h in range(max(0, drawn - worse), min(equal, drawn) + 1)
        )
        total += Fraction(hits, comb(others, drawn))
    return total / len(scores)


def frozen_ceiling(query: str, latents: Latents, candidates_NK: np.ndarray) -> float:
    """The same for given candidates (N, K) of given cases: the expected top-1 accuracy, ties broken at random.

    The candidate that is right is the one that shows the case's own x.
    """
    scores = score_table(query)
    state_N = ((latents.c_N * 2 + latents.f_N) * FIVE + latents.e_N) * FIVE + latents.l_N
    shown_NK = latents.x_N[candidates_NK]
    scores_NK = scores[state_N[:, None], shown_NK]
    own_N = scores[state_N, latents.x_N]
    best_N = scores_NK.max(1)
    ties_N = (scores_NK == best_N[:, None]).sum(1)
    return float(np.mean(np.where(own_N == best_N, 1.0 / ties_N, 0.0)))


def query_table(latents: Latents | None = None, candidates_NK: np.ndarray | None = None) -> dict[str, dict[str, float]]:
    """query -> {"exact": ceiling in the population, "frozen": ceiling for these candidates}."""
    table = {query: {"exact": float(exact_ceiling(query))} for query in QUERIES}
    if latents is not None and candidates_NK is not None:
        for query in QUERIES:
            table[query]["frozen"] = frozen_ceiling(query, latents, candidates_NK)
    return table


def _conditional(groups_S: np.ndarray, x_S: np.ndarray) -> np.ndarray:
    """(S, 20): p(x | group) over equally frequent states."""
    counts = np.zeros((int(groups_S.max()) + 1, NUM_XRAYS))
    np.add.at(counts, (groups_S, x_S), 1.0)
    return (counts / counts.sum(1, keepdims=True).clip(1))[groups_S]


def _pmi(groups_S: np.ndarray, x_S: np.ndarray) -> np.ndarray:
    marginal = np.bincount(x_S, minlength=NUM_XRAYS) / len(x_S)
    with np.errstate(divide="ignore"):
        return np.log(_conditional(groups_S, x_S) / marginal)
