"""Data loaders, objectives and metrics of a stage from its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from omni.config_schema import LOADER, known
from omni.core.model import OmniModel
from omni.data.bad_items import OnBad
from omni.data.buckets import bucket_settings, sample_lengths
from omni.data.processor import Processor
from omni.data.stream import is_stream
from omni.engine import seeding
from omni.engine.balanced import BalancedBatchSampler, group_numbers, sampler_settings
from omni.engine.feature_cache import build_feature_table
from omni.engine.items import BatchItems, FeatureTable, as_is
from omni.engine.optim import autocast_dtype
from omni.engine.progress import track
from omni.engine.sampling import BucketBatchSampler, EpochBatchSampler, EvaluationSampler
from omni.engine.stages import StageConfig
from omni.engine.stream_items import StreamItems, StreamLoader
from omni.engine.tables import TableItems, fits, readable
from omni.errors import ConfigError, TrainingError
from omni.metrics.base import Metric
from omni.objectives.base import Objective
from omni.objectives.gather import rank, world_size
from omni.plugin.suggest import did_you_mean
from omni.registry import DATASETS, METRICS, OBJECTIVES


def build_objectives(configs: Sequence[Any], model: OmniModel) -> dict[str, Objective]:
    """name -> Objective; the name is its type, with a number where a type comes twice.

    Raises:
        ConfigError: a slot that the model does not have.
    """
    built: dict[str, Objective] = {}
    for config in configs:
        objective = config if isinstance(config, Objective) else OBJECTIVES.build(dict(config))
        kind = config["type"] if isinstance(config, Mapping) else type(config).__name__.lower()
        name = kind.rpartition(".")[2]
        for slot in objective.slots:
            if slot not in model.config.slots:
                raise ConfigError(
                    f"Objective {name!r} works on the slot {slot!r}, which the model does not have."
                    f"{did_you_mean(slot, model.config.slots)} Slots: {', '.join(model.config.slots)}."
                )
        count = 2
        while name in built:
            name = f"{kind}_{count}"
            count += 1
        built[name] = objective
    return built


def build_metrics(configs: Sequence[Any]) -> dict[str, Metric]:
    """name -> Metric.

    Raises:
        ConfigError: two metrics report a number under one name.
    """
    built: dict[str, Metric] = {}
    owners: dict[str, str] = {}
    for index, config in enumerate(configs):
        metric = config if isinstance(config, Metric) else METRICS.build(dict(config))
        kind = config["type"] if isinstance(config, Mapping) else type(config).__name__
        name = kind if kind not in built else f"{kind}_{index}"
        for key in metric.names:
            if key in owners:
                raise ConfigError(
                    f"val_evaluator: {owners[key]!r} and {name!r} both report {key!r}. Give one of them a `prefix`, as "
                    "in dict(type=..., prefix='first')."
                )
            owners[key] = name
        built[name] = metric
    return built


def build_dataset(config: Any) -> Any:
    """A data set of Samples from its config, or the data set itself."""
    return DATASETS.build(dict(config)) if isinstance(config, Mapping) else config


class LoaderBuilder:
    """Builds a stage's loaders; the features of cached slots are computed here.

    Args:
        stage: the stage.
        model: with the stage's freeze list applied, on its device.
        processor: of the model.
        seed: of the run.
        quiet: no progress bars.
        feature_folder: where the features of cached slots are kept between runs; None = nowhere.
        on_bad: what to do about samples that cannot be read; None = raise.
    """

    def __init__(
        self,
        stage: StageConfig,
        model: OmniModel,
        processor: Processor,
        *,
        seed: int,
        quiet: bool,
        feature_folder: str | None = None,
        on_bad: OnBad | None = None,
    ) -> None:
        self.on_bad = on_bad or OnBad()
        self.stage, self.model, self.processor = stage, model, processor
        self.seed = seeding.mix(seed, stage.name)
        self.quiet = quiet or rank() > 0
        self.feature_folder = feature_folder
        for slot in stage.cache:
            if slot not in processor.slots:
                raise ConfigError(
                    f"Stage {stage.name!r}: cache names the slot {slot!r}, which the processor does not have."
                    f"{did_you_mean(slot, processor.slots)}"
                )

    def train(self) -> DataLoader:
        """The training loader: endless, position set by ``start``."""
        config = _checked(self.stage.train_dataloader, f"Stage {self.stage.name!r}: train_dataloader")
        dataset = build_dataset(config["dataset"])
        if is_stream(dataset):
            return self._stream(dataset, config, training=True)
        if len(dataset) == 0:
            raise TrainingError(f"Stage {self.stage.name!r}: the training data set is empty.")
        sampler = self._sampler(dataset, config)
        items = self._items(dataset, config, training=True)
        return DataLoader(items, batch_sampler=sampler, collate_fn=as_is, **_worker_options(config))

    def _sampler(self, dataset: Any, config: Mapping[str, Any]) -> EpochBatchSampler:
        """Of a map-style training data set: by chance, balanced over groups, or by length."""
        what = f"Stage {self.stage.name!r}: train_dataloader"
        shuffle = bool(config.get("shuffle", True))
        options = dict(batch_size=_batch_size(config), seed=self.seed, shuffle=shuffle, rank=rank(), world=world_size())
        buckets = bucket_settings(config.get("buckets"))
        balanced = sampler_settings(config.get("sampler"), what=what)
        if buckets is not None and balanced is not None:
            raise ConfigError(f"{what}: sampler and buckets both choose the samples of a batch. Take one out.")
        if balanced is not None:
            groups = group_numbers(self._scan(dataset, "groups"), balanced["by"])
            return BalancedBatchSampler(groups, power=balanced["power"], **options)
        if buckets is not None:
            lengths = sample_lengths(self._scan(dataset, "lengths"), buckets[0])
            return BucketBatchSampler(lengths, pool=buckets[1], **options)
        return EpochBatchSampler(len(dataset), **options)

    def _scan(self, dataset: Any, what: str) -> Iterator[Any]:
        """All samples, undecoded."""
        return (dataset[index] for index in track(range(len(dataset)), what, quiet=self.quiet))

    def validation(self) -> DataLoader | None:
        """The validation loader, or None."""
        if self.stage.val_dataloader is None:
            return None
        config = _checked(self.stage.val_dataloader, f"Stage {self.stage.name!r}: val_dataloader")
        if config.get("sampler") is not None:
            raise ConfigError(f"Stage {self.stage.name!r}: val_dataloader takes every sample once, no sampler.")
        dataset = build_dataset(config["dataset"])
        if is_stream(dataset):
            return self._stream(dataset, config, training=False)
        sampler = EvaluationSampler(len(dataset), batch_size=_batch_size(config), rank=rank(), world=world_size())
        items = self._items(dataset, config, training=False)
        return DataLoader(items, batch_sampler=sampler, collate_fn=as_is, **_worker_options(config))

    def _stream(self, dataset: Any, config: Mapping[str, Any], *, training: bool) -> StreamLoader:
        if config.get("sampler") is not None:
            raise ConfigError(
                f"Stage {self.stage.name!r}: a stream has no sampler. Make each group a source of a 'mixed' data set, "
                "and balance them by its ratios."
            )
        if self.stage.cache:
            raise ConfigError(f"Stage {self.stage.name!r}: a streaming data set cannot be cached. Empty `cache`.")
        items = StreamItems(
            dataset,
            self.processor,
            batch_size=_batch_size(config),
            seed=self.seed,
            training=training,
            slot_dropout=config.get("slot_dropout") if training else None,
            views=int(config.get("views", 1)),
            skip_bad=self.on_bad.skips,
            shuffle=bool(config.get("shuffle", True)),
            buckets=bucket_settings(config.get("buckets")),
            rank=rank(),
            world=world_size(),
        )
        return StreamLoader(items, batch_size=None, collate_fn=as_is, **_worker_options(config))

    def _items(self, dataset: Any, config: Mapping[str, Any], *, training: bool) -> BatchItems | TableItems:
        """Tables where they are possible and pay, otherwise sample by sample."""
        dropout = config.get("slot_dropout") if training else None
        views = int(config.get("views", 1))
        cached: dict[str, FeatureTable] = {}
        left_out: frozenset[int] = frozenset()
        fixed = [slot for slot in self.processor.slots if slot not in self.stage.cache]
        tables = config.get("tables", "auto")
        fixed_enough = not training or all(self.processor.deterministic(slot) for slot in fixed)
        wants_tables = tables is True or (tables == "auto" and (bool(self.stage.cache) or (training and fixed_enough)))
        if self.stage.cache or wants_tables:
            read = [*fixed, *self.stage.cache] if fixed_enough else list(self.stage.cache)
            samples, left_out = readable(dataset, self.processor, read, self.on_bad, quiet=self.quiet)
            cached = {slot: self._features(samples, slot) for slot in self.stage.cache}
            if wants_tables and fixed_enough and views == 1 and fits(samples, self.processor, fixed):
                return TableItems(
                    samples, self.processor, cached=cached, seed=self.seed, slot_dropout=dropout, quiet=self.quiet,
                    left_out=left_out, training=training,
                )  # fmt: skip
            dataset = samples
        return BatchItems(
            dataset, self.processor, seed=self.seed, training=training, cached=cached, slot_dropout=dropout,
            views=views, skip_bad=self.on_bad.skips, left_out=left_out,
        )  # fmt: skip

    def _features(self, samples: Sequence[Any], slot: str) -> FeatureTable:
        dtype = autocast_dtype(self.stage.optim_wrapper.get("dtype", "float32"), self.model.device.type)
        autocast = dtype if dtype == torch.bfloat16 else None
        return build_feature_table(
            self.model,
            samples,
            self.processor,
            slot,
            autocast=autocast,
            quiet=self.quiet,
            folder=self.feature_folder,
        )


def training_data(loader: DataLoader) -> dict[str, Any]:
    """The fingerprint of what a loader reads: of a stream all that it says, otherwise the number of samples."""
    source = loader.dataset
    return source.fingerprint() if isinstance(source, StreamItems) else {"samples": len(source)}  # type: ignore[arg-type]


def _checked(config: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    known(config, LOADER, what)
    if "dataset" not in config:
        raise ConfigError(f"{what} has no `dataset`.")
    return config


def _batch_size(config: Mapping[str, Any]) -> int:
    return int(config.get("batch_size", 64))


def _worker_options(config: Mapping[str, Any]) -> dict[str, Any]:
    workers, prefetch = int(config.get("num_workers", 0)), config.get("prefetch")
    if prefetch is not None and (workers == 0 or int(prefetch) < 1):
        raise ConfigError(
            f"prefetch is {prefetch} with num_workers={workers}: it is how many batches each worker has ready, at "
            "least 1, and needs num_workers of at least 1."
        )
    return {
        "num_workers": workers,
        "prefetch_factor": None if prefetch is None else int(prefetch),
        "pin_memory": bool(config.get("pin_memory", False)),
        "persistent_workers": False,
        "generator": torch.Generator().manual_seed(0),  # torch draws the workers' seeds from it; ours replace them
    }
