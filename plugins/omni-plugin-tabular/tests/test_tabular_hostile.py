"""Bad and odd values, files and schemas: an error that names file and column; no hang, no crash, no silent number."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
from test_tabular_values import GLUCOSE, write_table

from omni.data.loaders import SlotLoader
from omni.errors import ConfigError, InputError, OmniError
from omni_plugin_tabular.io import load
from omni_plugin_tabular.schema import read_schema
from omni_plugin_tabular.transform import TabularBasic


@pytest.mark.parametrize(
    "field",
    [
        math.inf, -math.inf, np.inf, "inf", "1e999", 10**400, True, np.True_, "positive", "1,000", "1_000", "3,5",
        "0x10", "2020-01-01", "1.2.3", "12.5.2020", "5 5", "1/2", b"5", [1, 2, 3], (1,), {"unit": "g"}, (1, 2), 1j,
        {"value": 1, "u": "g"}, object(), np.array([1.0, 2.0]), {"value": {"value": 1}}, "--5", "+", "e5", "<", "\x00",
        "9" * 5000,
    ],
)  # fmt: skip
def test_a_field_that_is_no_number_is_refused_by_name(field: object) -> None:
    with pytest.raises(InputError, match="sodium"):
        TabularBasic()(load({"mass": 70, "sodium": field}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"potassium": 4}, r"'potassium', which the example schema does not"),
        ({"sodum": 4}, r"Did you mean 'sodium'"),
        ({"sodium": (140, "mg/dL")}, r"'mg/dL'; accepted units: 'mmol/L', 'mEq/L'"),
        ({"sodium": 14}, r"14 mmol/L, outside of 80\.\.200"),
        ({"height": 178}, r"178 m, outside of 0\.2\.\.2\.6"),
        ({"age": "40 s"}, r"'age'.*'s'; accepted units: 'years'"),
        ({"sodium": None}, r"no number for any of the 6 columns"),
        ({}, r"no number for any of the 6 columns"),
    ],
)
def test_what_the_schema_does_not_allow_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TabularBasic()(load(fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"a [g]": 1, "a [kg]": 2}, "twice"),
        ({"a [g]": "5 kg"}, "is in 'g', but its value says 'kg'"),
        ({"a": ("5 kg", "g")}, "given as 'g'"),
        ({"": 1}, "without a name"),
        ({3: 1}, "without a name"),
        ({"a" * 5000: 1}, "5000 characters"),
    ],
)
def test_contradictory_rows_are_refused(fields: dict[object, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load(fields)


def test_settings_let_pass_what_they_say_and_no_more() -> None:
    row = load({"sodium": 14, "potassium": 4, "mass": 70})
    with pytest.raises(InputError, match="potassium"):
        TabularBasic(outside="clip")(row)
    clipped = TabularBasic(unknown="ignore", outside="clip")(row)
    left_out = TabularBasic(unknown="ignore", outside="missing")(row)
    assert clipped["valid_C"].tolist() == [False, True, False, False, False, True]
    assert clipped["percentiles_C"][5] == 0 and left_out["valid_C"].sum() == 1
    with pytest.raises(InputError, match="comes without a unit"):
        TabularBasic(require_units=True)(load({"sodium": 140}))
    assert TabularBasic(require_units=True)(load({"sodium": "140 mmol/L"}))["valid_C"].any()


@pytest.mark.parametrize("value", [None, 5, 5.0, ["sodium", 140], np.zeros(3), object(), True])
def test_what_is_no_row_is_refused(value: object) -> None:
    with pytest.raises(InputError, match="cannot be read from"):
        load(value)


BROKEN = {
    "truncated.parquet": lambda good: good[: len(good) // 2],
    "wrong_magic.parquet": lambda good: b"XXXX" + good[4:],
    "huge_header.parquet": lambda good: good[:-8] + b"\xff\xff\xff\x7fPAR1",
    "garbage.parquet": lambda good: os.urandom(200),
    "text.parquet": lambda good: b"sodium\n140\n",
    "binary.csv": lambda good: good,
    "latin.csv": lambda good: b"sodium,name\n140,\xe9\n",
    "uneven.csv": lambda good: b"sodium,mass\n140\n",
    "quote.csv": lambda good: b'sodium,mass\n"140,70\n',
    "only_header.csv": lambda good: b"sodium,mass\n",
    "twice.csv": lambda good: b"sodium,sodium\n140,141\n",
    "blank.csv": lambda good: b"\n\n\n",
    "wide.csv": lambda good: b",".join(b"c%d" % n for n in range(30_000)) + b"\n" + b"1," * 29_999 + b"1\n",
    "long_name.csv": lambda good: b"x" * 10_000 + b"\n1\n",
    "text.csv": lambda good: b"sodium\nhigh\n",
    "infinite.csv": lambda good: b"sodium\ninf\n",
    "list.json": lambda good: b"[1, 2]",
    "cut.json": lambda good: b'{"sodium": 14',
    "twins.json": lambda good: b'{"sodium": 140, "sodium": 141}',
    "deep.json": lambda good: b"[" * 200_000,
    "infinity.json": lambda good: b'{"sodium": Infinity}',
    "unknown.xlsx": lambda good: b"PK\x03\x04",
    "no_ending": lambda good: b"sodium\n140\n",
    "empty.csv": lambda good: b"",
    "empty.parquet": lambda good: b"",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_refused_by_name(tmp_path: Path, name: str) -> None:
    good = write_table(tmp_path, "parquet").read_bytes()
    path = tmp_path / name
    path.write_bytes(BROKEN[name](good))
    with pytest.raises(InputError) as caught:
        load(path, row=0)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bytes_are_refused(tmp_path: Path, name: str) -> None:
    """The same contents without a name; what a name alone made wrong is read."""
    good = write_table(tmp_path, "parquet").read_bytes()
    data = BROKEN[name](good)
    if name in ("binary.csv", "text.parquet", "no_ending"):
        assert load(data, row=0, rename={"id": None, "file": None, "ward": None}).numbers
        return
    with pytest.raises(InputError):
        load(data, row=0)


def test_truncated_at_any_place_a_file_is_refused_or_shorter(tmp_path: Path) -> None:
    good = write_table(tmp_path, "parquet").read_bytes()
    for size in range(0, len(good), 37):
        with pytest.raises(OmniError):
            load(good[:size], row=0)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_bytes_never_crash(tmp_path: Path, seed: int) -> None:
    good = bytearray(write_table(tmp_path, "parquet").read_bytes())
    random = np.random.default_rng(seed)
    for _ in range(60):
        data = bytearray(good)
        for place in random.integers(len(data), size=4):
            data[place] = int(random.integers(256))
        try:
            row = load(bytes(data), row=0, rename={"id": None, "file": None, "ward": None})
        except InputError:
            continue
        assert all(math.isfinite(number) for number in row.numbers.values())


def test_places_that_are_no_files_are_refused(tmp_path: Path) -> None:
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    cases = {
        tmp_path / "none.csv": "There is no table",
        tmp_path: "is a folder",
        loop: "cannot be read",
        pipe: "pipe or device",
        "/dev/zero": "pipe or device",
        "https://example.org/a.csv": "is an address",
        "a\0b.csv": "cannot be read",
        "x" * 5000: "cannot be read",
    }
    for value, message in cases.items():
        with pytest.raises(InputError, match=message):
            load(value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = write_table(tmp_path, "csv")
    path.chmod(0)
    with pytest.raises(InputError, match="labs.csv"):
        load(path, row=0)


def test_the_slot_is_named_as_well(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sodium\nhigh\n")
    with pytest.raises(InputError, match=r"Slot 'labs'.*a\.csv"):
        SlotLoader("labs", modality="tabular")(str(path))


def changed(**fields: object) -> dict[str, object]:
    first, second = json.loads(json.dumps(GLUCOSE["columns"]))
    return {"columns": [{**first, **fields}, second]}


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (changed(name=""), "no name"),
        (changed(name="temperature"), "another name"),
        (changed(quantiles=[3, 2]), "glucose.*never fall"),
        (changed(quantiles=[3]), "glucose.*at least two"),
        (changed(quantiles=[1, math.nan]), "glucose.*finite"),
        (changed(quantiles="1234"), "glucose.*quantiles"),
        (changed(units={"mmol/L": 0}), "factor other than 0"),
        (changed(units={"mmol/L": [1, 2, 3]}), "factor"),
        (changed(units={"mmol/L": "18"}), "finite number"),
        (changed(units=["mmol/L"]), "mapping"),
        (changed(low=10, high=5), "not below"),
        (changed(low=True), "finite number"),
        (changed(quantile=[1, 2]), "quantile"),
        (changed(unit=5), "not a text"),
        ({"columns": []}, "at least one column"),
        ({"columns": {"a": 1}}, "no mapping"),
        ({"version": 9, "columns": []}, "version 9"),
        ([], "no mapping"),
        (5, "no mapping"),
        ("nothing.json", "nothing.json"),
        ("omni_plugin_nothing:a.json", "omni_plugin_nothing"),
    ],
)
def test_schemas_that_cannot_be_meant_are_refused(schema: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TabularBasic(schema=schema)


def test_a_schema_without_quantiles_says_how_to_fit_them() -> None:
    bare = {"columns": [{"name": "x"}]}
    assert read_schema(bare).names == ("x",)
    with pytest.raises(ConfigError, match="x.*omni tabular-schema"):
        TabularBasic(schema=bare)


@pytest.mark.parametrize("options", [{"unknown": "drop"}, {"outside": "wrap"}, {"drop": 1.0}, {"drop": -0.1}])
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TabularBasic(**options)


@pytest.mark.parametrize("options", [{"censored": "half"}, {"missing": [-999]}, {"rename": {"a": 5}}])
def test_loader_options_that_cannot_be_meant_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        load({"a": 1}, **options)
