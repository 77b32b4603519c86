"""Which models become classes, and which names are held out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from omni.data.building.counter_rng import seed_of

TEST_SHARE = 0.2


def classes_of(categories: Iterable[str], *, least: int, dropped: Iterable[str]) -> list[str]:
    """Categories of at least so many models, sorted; without the ones that are no class of things."""
    counts = Counter(categories)
    return sorted(name for name, count in counts.items() if count >= least and name not in set(dropped))


def families(names: Sequence[Mapping[str, str]], languages: Iterable[str]) -> list[int]:
    """A number for each model, the same for models that are called alike in one of the languages, also by way of
    others."""
    languages = tuple(languages)
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(key: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(key, key) != key:
            key = parent[key]
        return key

    for own in names:
        for language in languages:
            if language in own:
                parent[root((language, own[language]))] = root(("en", own["en"]))
    numbers: dict[tuple[str, str], int] = {}
    return [numbers.setdefault(root(("en", own["en"])), len(numbers)) for own in names]


def hold_out(family_M: Sequence[int], class_M: Sequence[str]) -> list[str]:
    """ "train" or "test" for each model: whole families, about a fifth of each class, in a fixed pseudo-random order.

    A family belongs to the class of most of its models. Families that are larger than what is still wanted of their
    class stay in training.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for model, family in enumerate(family_M):
        members[family].append(model)
    homes = {family: Counter(class_M[m] for m in own).most_common(1)[0][0] for family, own in members.items()}
    held: set[int] = set()
    for name in sorted(set(class_M)):
        mine = sorted((f for f in members if homes[f] == name), key=lambda f: seed_of("furniture3d", "split", f))
        wanted = TEST_SHARE * sum(len(members[family]) for family in mine)
        for family in mine:
            if len(members[family]) <= wanted:
                held.add(family)
                wanted -= len(members[family])
    return ["test" if family in held else "train" for family in family_M]
