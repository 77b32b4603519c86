"""A model inherits the terms of its data, and is not published against them."""

from __future__ import annotations

import json

import pytest

from omni.data.terms import TermsError, merge_terms, require_publishable, terms_of, terms_of_model
from omni.engine.training import train
from omni.errors import ConfigError, InputError

FREE = {"data": "pictures", "license": "MIT", "publish": True}
BARRED = {"data": "reports", "license": "CC-BY-NC-ND-4.0", "publish": False, "why": "they may not be passed on"}


def marked(toys, *terms, **options):
    data = toys.ToyTriples(missing=5, **options)
    data.terms = list(terms)
    return data


def test_terms_are_found_below_wrappers_and_mixtures(toys):
    from omni.data.mixing import MixedStream

    mixture = MixedStream({"a": marked(toys, FREE), "b": marked(toys, BARRED, FREE), "c": toys.ToyTriples()})
    assert terms_of(mixture) == [FREE, BARRED]
    assert terms_of([1, 2]) == [] and terms_of(None) == []
    assert merge_terms([FREE], [FREE, BARRED]) == [FREE, BARRED]


def test_training_writes_them_and_a_model_that_starts_from_it_inherits_them(toys, make_config, tmp_path):
    loader = {"dataset": marked(toys, FREE, BARRED), "batch_size": 12}
    first = train(make_config(train_dataloader=loader, train_cfg={"max_iters": 2}), work_dir=tmp_path / "a", quiet=True)
    saved = json.loads((first.model_folder / "config.json").read_text())["info"]
    assert saved["terms"] == [FREE, BARRED] == terms_of_model(first.model_folder)
    later = make_config(load_from=str(first.model_folder), train_cfg={"max_iters": 2})
    second = train(later, work_dir=tmp_path / "b", quiet=True)
    assert terms_of_model(second.model_folder) == [FREE, BARRED]
    with pytest.raises(TermsError, match="reports .CC-BY-NC-ND-4.0.*passed on"):
        require_publishable(saved, name="a model")


def test_free_data_may_be_published_and_a_damaged_config_is_no_answer(tmp_path):
    require_publishable({"terms": [FREE]})
    require_publishable({})
    assert terms_of_model(tmp_path / "weights.safetensors") == []
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="terms"):
        terms_of_model(tmp_path)


def test_shards_keep_the_terms_of_their_data(toys, tmp_path):
    from omni.data.sharding import write_shards
    from omni.data.webdataset import WebDatasetStream

    data = marked(toys, FREE, BARRED)
    slots = {"left": "stripe", "word": "word"}
    write_shards(data, tmp_path / "shards", slots, shard_samples=len(data))
    shards = WebDatasetStream(tmp_path / "shards", modalities=slots)
    assert terms_of(shards) == [FREE, BARRED]
    write_shards(shards, tmp_path / "again", slots)
    assert terms_of(WebDatasetStream(tmp_path / "again", modalities=slots)) == [FREE, BARRED]
    index = tmp_path / "shards" / "index.json"
    index.write_text(index.read_text().replace('"terms": [', '"terms": ["no object", '))
    with pytest.raises(ConfigError, match="must be a list of objects"):
        WebDatasetStream(tmp_path / "shards", modalities=slots)
