"""Right values: fields, units, percentiles, schemas, tables, the manifest, the two adapters."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from omni.data.processor import Processor
from omni.errors import ConfigError, InputError
from omni.types import Sample
from omni_plugin_tabular.adapter import TabularAdapter
from omni_plugin_tabular.fitting import fit_table
from omni_plugin_tabular.io import SAMPLES, load, sample
from omni_plugin_tabular.manifest import TabularManifest
from omni_plugin_tabular.row import Row
from omni_plugin_tabular.schema import EXAMPLE, Column, Schema, of_percentiles, read_schema
from omni_plugin_tabular.transform import TabularBasic

GLUCOSE = {
    "columns": [
        {"name": "glucose", "unit": "mg/dL", "units": {"mmol/L": 18.0}, "low": 5, "high": 2500,
         "quantiles": [40, 90, 110, 140, 900]},
        {"name": "temperature", "unit": "degC", "units": {"degF": [5 / 9, -160 / 9]}, "quantiles": [34, 37, 42]},
    ]
}  # fmt: skip


def place(name: str) -> int:
    found = EXAMPLE.place(name)
    assert found is not None
    return found


def test_every_way_of_writing_a_field_gives_the_number() -> None:
    row = load(
        {
            "a": 3, "b": "4.5", "c": " 7e1 ", "d": ("12", "mg/dL"), "e": {"value": 2.5, "unit": "g"}, "f": "99.1 degF",
            "g [mmol/L]": 5, "h": np.float32(0.5), "i": torch.tensor(6), "j": Decimal("1.25"), "k": "72 /min",
            "l": "5%", "m": -0.0, "n": ".5",
        }
    )  # fmt: skip
    expected = [3, 4.5, 70, 12, 2.5, 99.1, 5, 0.5, 6, 1.25, 72, 5, 0, 0.5]
    assert [row.numbers[name] for name in "abcdefghijklmn"] == expected
    assert dict(row.units) == {"d": "mg/dL", "e": "g", "f": "degF", "g": "mmol/L", "k": "/min", "l": "%"}


@pytest.mark.parametrize("nothing", [None, math.nan, np.nan, "", " NA ", "null", "___", (None, "mg/dL"), "NaN"])
def test_what_was_not_recorded_is_missing(nothing: object) -> None:
    row = load({"sodium": nothing, "mass": 70})
    assert "sodium" not in row.numbers and row.names == ("sodium", "mass")
    tensors = TabularBasic()(row)
    assert tensors["valid_C"].tolist() == [name == "mass" for name in EXAMPLE.names]
    assert tensors["values_C"][place("sodium")] == 0 and tensors["percentiles_C"][place("sodium")] == 0


def test_limits_are_refused_taken_or_left_out() -> None:
    with pytest.raises(InputError, match=r"'troponin'.*'<0\.01'.*censored"):
        load({"troponin": "<0.01"})
    assert load({"troponin": "< 0.01 ng/mL"}, censored="bound").numbers == {"troponin": 0.01}
    assert load({"troponin": ">=50"}, censored="missing").numbers == {}


def test_units_are_converted_with_factor_and_offset() -> None:
    schema = read_schema(GLUCOSE)
    row = load({"glucose": "6 mmol/l", "temperature": (98.6, "degF")})
    found = schema.numbers(row)
    assert found[0] == pytest.approx(108) and found[1] == pytest.approx(37.0)
    same = schema.numbers(load({"glucose": (108, "MG / DL"), "temperature": 37}))
    assert same == {0: 108, 1: 37}


def test_micro_is_micro_in_every_spelling() -> None:
    schema = Schema(columns=(Column(name="creatinine", unit="mg/dL", units={"umol/L": (0.0113, 0.0)}),))
    for unit in ("umol/L", "\u00b5mol/L", "\u03bcmol/l"):
        assert schema.numbers(load({"creatinine": (100, unit)}))[0] == pytest.approx(1.13)


def test_percentiles_are_those_of_the_training_rows() -> None:
    numbers = np.random.default_rng(0).gamma(2.0, size=4000)
    schema = Schema(columns=(Column(name="x"),)).fit(Row(numbers={"x": float(number)}) for number in numbers)
    for number in (0.05, 0.7, 1.9, 4.0, 30.0, -1.0):
        assert schema.columns[0].percentile(number) == pytest.approx((numbers < number).mean(), abs=0.01)


def test_equal_quantiles_give_the_middle_of_their_range() -> None:
    column = Column(name="pain", quantiles=(0, 0, 0, 1, 10))  # half of the rows are zero
    assert column.percentile(0) == 0.25 and column.percentile(1) == 0.75
    assert column.percentile(-1) == 0 and column.percentile(11) == 1 and column.percentile(10) == 1
    assert column.percentile(0.5) == pytest.approx(0.625)


def test_scores_are_standard_scores_of_a_normal_distribution_and_bounded() -> None:
    numbers = 5 + 2 * np.random.default_rng(1).standard_normal(20_000)
    schema = Schema(columns=(Column(name="x"),)).fit(Row(numbers={"x": float(number)}) for number in numbers)
    assert schema.columns[0].score(9.0) == pytest.approx(2.0, abs=0.05)
    assert TabularBasic(schema=schema.to_json())(load({"x": 1e6}))["values_C"].item() == 10
    assert Column(name="constant", quantiles=(3, 3, 3)).score(4) == 1.0


def test_percentiles_that_are_given_pass_unchanged() -> None:
    transform = TabularBasic(schema=of_percentiles(["a", "b"]).to_json())
    assert transform(load({"a": 0.125, "b": 1.0}))["percentiles_C"].tolist() == [0.125, 1.0]


def test_a_fit_counts_what_is_recorded_and_possible() -> None:
    schema = Schema(columns=(Column(name="x", low=0, high=10, unit="m", units={"cm": (0.01, 0.0)}), Column(name="y")))
    rows = [load({"x": 1, "z": 5}), load({"x": "300 cm", "y": 1}), load({"x": 99, "y": None}), load({"x": 2})]
    fitted = schema.fit(rows, points=3)
    assert fitted.columns[0].quantiles == (1, 2, 3) and fitted.columns[1].quantiles == (1, 1, 1)
    with pytest.raises(InputError, match="No row has a number for y"):
        schema.fit(rows[:1])


def test_a_schema_comes_back_from_its_file(tmp_path: Path) -> None:
    schema = read_schema(GLUCOSE)
    schema.save(tmp_path / "s.json")
    again = read_schema(tmp_path / "s.json")
    assert again.columns == schema.columns == read_schema(json.loads(json.dumps(schema.to_json()))).columns


def test_the_schema_is_saved_with_the_model(tmp_path: Path) -> None:
    processor = Processor({"labs": {"modality": "tabular", "schema": GLUCOSE, "drop": 0.25}})
    config = json.loads(json.dumps(processor.to_config(tmp_path)))
    assert config["labs"]["schema"] == "schema.json" and (tmp_path / "labs" / "schema.json").is_file()
    again = Processor.from_config(config, tmp_path)
    made = Sample(id="a", values={"labs": {"glucose": 120}})
    first, second = processor(made)["labs"], again(made)["labs"]
    assert all(torch.equal(first[key], second[key]) for key in first) and again.transforms["labs"].drop == 0.25


def test_drop_hides_numbers_in_training_only_and_never_all() -> None:
    transform, row = TabularBasic(drop=0.9), sample()
    torch.manual_seed(0)
    counts = [int(transform(row, training=True)["valid_C"].sum()) for _ in range(300)]
    assert min(counts) == 1 and 1.0 < np.mean(counts) < 2.0
    assert int(transform(row)["valid_C"].sum()) == 6


def write_table(folder: Path, ending: str) -> Path:
    path = folder / f"labs.{ending}"
    rows = [
        {"id": "p1", "glucose [mmol/L]": "6", "temperature": "37.5", "file": "a.png", "ward": "B"},
        {"id": "p2", "glucose [mmol/L]": "", "temperature": "", "file": "b.png", "ward": "C"},
        {"id": "p3", "glucose [mmol/L]": "10", "temperature": "", "file": "c.png", "ward": "B"},
    ]
    if ending in ("csv", "tsv"):
        mark = "," if ending == "csv" else "\t"
        path.write_text("\n".join(mark.join(row) for row in [list(rows[0]), *(list(r.values()) for r in rows)]))
    elif ending == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        import pyarrow
        import pyarrow.parquet

        numbers = [{key: (float(v) if v else None) if key[0] in "gt" else v for key, v in row.items()} for row in rows]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(numbers), path)
    return path


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
def test_a_row_of_a_table_is_a_value(tmp_path: Path, ending: str) -> None:
    path = write_table(tmp_path, ending)
    options = {"rename": {"id": None, "file": None, "ward": None}}
    row = load(path, row=2, **options)
    assert row.numbers == {"glucose": 10} and row.units == {"glucose": "mmol/L"}
    if ending != "jsonl":
        assert load(path.read_bytes(), row=2, **options).numbers == row.numbers
    with pytest.raises(InputError, match="3 rows"):
        load(path)
    with pytest.raises(InputError, match="none with number 3"):
        load(path, row=3)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_manifest_fills_one_slot_from_several_columns(tmp_path: Path, ending: str) -> None:
    path = write_table(tmp_path, ending)
    data = TabularManifest(path, schema=GLUCOSE, slot="labs")
    first, second, third = data[0], data[1], data[2]
    transform = TabularBasic(schema=GLUCOSE)
    assert transform(load(first.values["labs"]))["valid_C"].tolist() == [True, True]
    assert transform.schema.numbers(load(third.values["labs"])) == {0: pytest.approx(180)}
    assert second.values == {} and second.id == "p2"
    assert first.meta == {"file": "a.png", "ward": "B"}
    named = TabularManifest(path, columns={"glucose [mmol/L]": "sugar"}, slots={"note": "ward"},
                            modalities={"note": "text"})  # fmt: skip
    assert named[0].values["note"] == "B" and load(named[0].values["tabular"]).units == {"sugar": "mmol/L"}


def test_the_manifest_refuses_what_it_cannot_mean(tmp_path: Path) -> None:
    path = write_table(tmp_path, "csv")
    for options, message in (
        ({}, "either the schema or the columns"),
        ({"schema": GLUCOSE, "columns": ["ward"]}, "either the schema or the columns"),
        ({"columns": ["glucos"]}, "glucos"),
        ({"columns": ["ward"], "slots": {"tabular": "file"}}, "made of columns"),
        ({"schema": of_percentiles(["potassium"]).to_json()}, "none of the schema's columns"),
    ):
        with pytest.raises(ConfigError, match=message):
            TabularManifest(path, **options)


def test_a_schema_is_fitted_from_the_command_line(tmp_path: Path) -> None:
    from omni_plugin_tabular import commands

    path = write_table(tmp_path, "csv")
    schema, counts = fit_table(path)
    assert schema.names == ("glucose", "temperature") and schema.columns[0].unit == "mmol/L"
    assert counts == {"glucose": 2, "temperature": 1} and schema.columns[0].quantiles[50] == 8
    import typer

    app = typer.Typer()
    app.command()(commands.schema)
    output = tmp_path / "schema.json"
    done = CliRunner().invoke(app, [str(path), "--output", str(output), "--points", "11"])
    assert done.exit_code == 0 and "wrote" in done.output, done.output
    assert len(read_schema(output).columns[0].quantiles) == 11
    converted, _ = fit_table(path, schema=GLUCOSE)
    assert converted.columns[0].quantiles[0] == 108 and converted.columns[0].unit == "mg/dL"


def mlp(**options: object) -> TabularAdapter:
    torch.manual_seed(0)
    return TabularAdapter(width=32, num_heads=4, num_layers=1, stem="mlp", **options).eval()


def batch(*values: dict[str, object]) -> dict[str, torch.Tensor]:
    transform = TabularBasic()
    return transform.collate([transform(load(value)) for value in values])


def test_the_mlp_has_the_published_shape_and_reads_flags() -> None:
    adapter = mlp(columns=50)
    shapes = [tuple(layer.weight.shape) for layer in adapter.mlp if isinstance(layer, nn.Linear)]
    assert shapes == [(256, 100), (1024, 256), (32, 1024)]
    assert [type(layer) for layer in adapter.mlp][1::2] == [nn.GELU, nn.GELU]
    adapter = mlp(fill=0.5)
    inputs = batch({"sodium": 140, "mass": 72}, {"mass": 72})
    inputs["percentiles_BC"][0, place("sodium")] = 0.5  # equal to the fill: only the flag tells
    tokens = adapter(inputs).tokens_BLD
    assert tokens.shape == (2, 1, 32) and not torch.allclose(tokens[0], tokens[1], atol=1e-3)


def test_the_mlp_fills_in_what_is_missing() -> None:
    means = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    adapter = mlp(fill=means)
    inputs = batch({"mass": 72})
    seen: list[torch.Tensor] = []
    adapter.mlp.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    adapter(inputs)
    expected = torch.tensor([0.1, 0.5, 0.3, 0.4, 0.5, 0.6, 0, 1, 0, 0, 0, 0])
    assert torch.allclose(seen[0][0], expected)


def test_tokens_tell_columns_and_values_apart() -> None:
    torch.manual_seed(0)
    adapter = TabularAdapter(width=32, num_heads=4, num_layers=1).eval()
    sequence = adapter(batch(*SAMPLES.values()))
    assert sequence.tokens_BLD.shape == (3, 7, 32)
    assert sequence.valid_BL.sum(1).tolist() == [7, 4, 2]
    assert sequence.positions_BLP.flatten().tolist() == [-1, 0, 1, 2, 3, 4, 5]
    low, high = adapter(batch({"sodium": 135})), adapter(batch({"sodium": 136}))
    at = place("sodium") + 1
    assert (low.tokens_BLD[0, at] - high.tokens_BLD[0, at]).abs().max() > 0.05


def test_adapters_refuse_other_numbers_of_columns_and_empty_rows() -> None:
    adapter = mlp(columns=4)
    with pytest.raises(InputError, match=r"Rows of 6 columns.*columns=6"):
        adapter(batch({"mass": 70}))
    inputs = batch({"mass": 70})
    with pytest.raises(InputError, match="Row 0 of the batch has no number"):
        mlp()({**inputs, "valid_BC": torch.zeros_like(inputs["valid_BC"])})
    with pytest.raises(InputError, match="tabular_basic"):
        mlp()({"values_BC": inputs["values_BC"]})
    for options in ({"stem": "tree"}, {"stem": "mlp", "fill": [0.5]}, {"columns": 0}, {"stem": "mlp", "fill": 7.0}):
        with pytest.raises(ConfigError):
            TabularAdapter(width=32, num_heads=4, num_layers=1, **options)


def test_the_examples_of_the_readme_are_read() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    value = eval(next(block for block in text.split("```python\n") if block.startswith("{")).split("```")[0])
    tensors = TabularBasic(unknown="ignore")(load(value))
    assert tensors["valid_C"].tolist() == [False, True, True, True, False, True]
    schema = read_schema(json.loads(text.split("```json\n")[1].split("```")[0]))
    assert schema.fitted and schema.names == ("glucose", "temperature")
    assert schema.numbers(load({"temperature": "98.6 degF"}))[1] == pytest.approx(37.0, abs=0.01)


def test_contact_sheets_tell_the_numbers() -> None:
    from omni.data.contact_sheet import render
    from omni.data.loaders import SlotLoader

    page = render({"sodium": "141 mmol/L", "glucose": None, "age": 60}, SlotLoader("labs", modality="tabular"))
    assert page == "<p>sodium 141 mmol/L, age 60; missing: glucose</p>"
