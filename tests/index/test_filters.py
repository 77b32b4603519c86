"""The filter language: what fits, what is refused, and that it agrees with Python's own comparisons."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from omni.errors import InputError
from omni.index import Index
from omni.index.columns import Columns
from omni.index.filters import parse_where

ITEMS = [
    {"class": "cat", "year": 1999, "tags": ["night", 3], "place": {"town": "Ulm"}},
    {"class": "dog", "year": 2001.5, "ok": True, "tags": "nightly"},
    {"class": "cat", "year": 2005, "ok": False, "odd name": 1},
    {"class": None, "year": "2001", "big": 2**53 + 1},
    {"class": "3d", "ok": 1},
]
IDS = ["a.png", "b.png", "c", "d", "e"]


def fits(where):
    return np.flatnonzero(parse_where(where).mask(Columns(IDS, ITEMS))).tolist()


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("class = cat", [0, 2]),
        ("class == 'cat' and year >= 2000", [2]),
        ('class = "cat" or class = dog', [0, 1, 2]),
        ("class in (cat, dog) and not year = 1990..2001", [1, 2]),
        ("class not in (cat, '3d')", [1, 3]),
        ("class != cat", [1, 3, 4]),
        ("class = null", [3]),
        ("class = 3d", [4]),
        ("year = 1999..2001.5", [0, 1]),
        ("year = ..2000", [0]),
        ("year = 2001..", [1, 2]),
        ("year < 2005 and year > -1e3", [0, 1]),  # the string "2001" is no number
        ("year = '2001'", [3]),
        ("ok = true", [1]),  # 1 is not true
        ("ok = 1", [4]),
        ("exists(ok) and not exists(nothing)", [1, 2, 4]),
        ("not exists(ok)", [0, 3]),
        ("tags contains night", [0, 1]),
        ("tags contains 3", [0]),
        ("place.town = Ulm", [0]),
        ("`odd name` = 1", [2]),
        ("id = 'a.png' or id contains b", [0, 1]),
        ("big = 9007199254740993", [3]),
        ("big = 9007199254740992", []),
        ("class > 'cat'", [1]),
        ("not (class = cat and year < 2000) and class = cat", [2]),
        ({"class": "cat", "year": (2000, None)}, [2]),
        ({"class": ["dog", None]}, [1, 3]),
        ([{"class": "cat"}, "year < 2000"], [0]),
    ],
)
def test_what_fits(where, rows):
    assert fits(where) == rows


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("", "empty filter"),
        ({}, "empty filter"),
        ("class", "needs an operator"),
        ("class = ", "needs a value at: its end"),
        ("class = cat dog", "needs 'and' or 'or' at: dog"),
        ("(class = cat", "needs '\\)'"),
        ("class in cat", "a list of values"),
        ("= cat", "needs a field"),
        ("class = and", "in quotes"),
        ("year < true", "orders by True"),
        ("year = ..", "no end"),
        ("class = 'cat", "cannot be read at character"),
        ("__import__('os').system('true')", "cannot be read at character 17"),
        ("date >= 2001-05-01", "needs 'and' or 'or' at: -05"),
        ({"year": (1, 2, 3)}, "a range is"),
        ({"class": {"a": 1}}, "compare with numbers"),
        (7, "give a string"),
        ("not " * 200 + "a = 1", "nested deeper"),
        ("(" * 200 + "a = 1" + ")" * 200, "nested deeper"),
    ],
)
def test_what_is_refused(where, told):
    with pytest.raises(InputError, match=told):
        fits(where)


def test_random_conditions_agree_with_python():
    rng = random.Random(0)
    items = [{"n": rng.randint(0, 9), "s": rng.choice("abc")} for _ in range(60)]
    columns = Columns([str(row) for row in range(60)], items)

    def condition(depth):
        if depth == 0:
            if rng.random() < 0.5:
                sign, value = rng.choice(["<", "<=", ">", ">=", "==", "!="]), rng.randint(0, 9)
                return f"n {sign} {value}", f"(i['n'] {sign} {value})"
            values = rng.sample("abcd", 2)
            return f"s in ({values[0]}, '{values[1]}')", f"(i['s'] in {values!r})"
        (ours, theirs), (more, their_more) = condition(depth - 1), condition(depth - 1)
        word = rng.choice(["and", "or"])
        no = rng.choice(["", "not "])
        return f"{no}({ours} {word} {more})", f"({no}({theirs} {word} {their_more}))"

    for _ in range(60):
        ours, theirs = condition(rng.randint(0, 3))
        expected = [eval(theirs, {"i": item}) for item in items]
        assert parse_where(ours).mask(columns).tolist() == expected, ours


def test_search_with_a_filter():
    index = Index(slot="a", width=6)
    gallery = torch.randn(300, 6, generator=torch.Generator().manual_seed(0))
    index.add(gallery[:200], metadata=[{"n": row} for row in range(200)])
    index.add(gallery[200:], metadata=[{"n": row} for row in range(200, 300)])
    query = {"a": torch.randn(2, 6)}
    whole = index.search_embeddings(query, k=300)
    for where, test in (("n >= 150 and n < 260", lambda n: 150 <= n < 260), ({"n": [3, 7]}, lambda n: n in (3, 7))):
        found = index.search_embeddings(query, k=20, where=where)
        for ours, all_of_them in zip(found, whole, strict=True):
            expected = [(r.id, r.score) for r in all_of_them if test(r.metadata["n"])][:20]
            assert [r.id for r in ours] == [name for name, _ in expected]
            assert [r.score for r in ours] == pytest.approx([score for _, score in expected], abs=1e-6)
            assert [r.rank for r in ours] == list(range(1, len(expected) + 1))
    assert index.search_embeddings(query, where="n < 0") == [[], []]
    with pytest.raises(InputError, match=r"has the field 'm'.*There are: id, n"):
        index.search_embeddings(query, where="m = 1")
    scores, rows = index.search_rows(query, k=5, where={"n": [3, 7]})
    assert sorted(rows[0][:2]) == [3, 7] and rows.shape[1] >= 2 and (rows[:, 2:] == -1).all()
    assert index.delete(where="n >= 100") == 200 and len(index) == 100
