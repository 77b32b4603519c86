"""``omni data list | show | build | check | shard``: what data sets there are, and work on one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from omni.cli.options import AS_JSON, ON_BAD, OPTION, QUIET
from omni.cli.slots import require_name
from omni.errors import ConfigError, InputError, UnknownComponentError

app = typer.Typer(help="Data sets.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
SLOT = typer.Option("--slot", metavar="SLOT[=MODALITY]", help="Only these slots; may be repeated.", show_default=False)
SOURCE = typer.Argument(help="A manifest, WebDataset shards, or a data set's name.")


@app.command("list")
def list_datasets(as_json: Annotated[bool, AS_JSON] = False) -> None:
    """Name the data sets that installed plugins provide."""
    from omni.plugin.catalog import get_catalog

    entries = get_catalog().entries("dataset")
    if as_json:
        rows = [{**_facts(entry.spec), "plugin": entry.plugin} for entry in entries]
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.padding import Padding

    console = Console()
    for entry in entries:
        spec = entry.spec
        size = f" ({spec.bytes / 1e6:.1f} MB)" if spec.bytes else ""
        told = ("Synthetic. " if spec.synthetic else "") + spec.summary
        facts = {
            "slots": ", ".join(slot for slot, _ in spec.modalities) or "yours",
            "splits": ", ".join(spec.splits),
            "licence": spec.license,
            "from": spec.obtained + size,
        }
        console.print(f"[bold]{escape(spec.name)}[/bold]  {escape(told)}", highlight=False)
        details = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
        console.print(Padding(escape(details), (0, 0, 0, 4)), highlight=False, style="dim")


def _facts(spec: Any) -> dict[str, Any]:
    return {
        "name": spec.name,
        "summary": spec.summary,
        "slots": dict(spec.modalities),
        "splits": list(spec.splits),
        "streaming": spec.streaming,
        "synthetic": spec.synthetic,
        "license": spec.license,
        "bytes": spec.bytes,
        "obtained": spec.obtained,
        "build": bool(spec.build),
    }


@app.command("show")
def show(
    source: Annotated[str, SOURCE],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The page; default: NAME.html.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Samples to show.")] = 24,
    option: Annotated[list[str] | None, OPTION] = None,
    slot: Annotated[list[str] | None, SLOT] = None,
) -> None:
    """Write a contact sheet: an HTML page with pictures, playable sound and texts of samples spread over the data."""
    from omni.data.contact_sheet import contact_sheet, write_page

    require_name(source, "data set")
    opened, slots = _open(source, option or (), slot or ())
    samples, total = _some_samples(opened.dataset, count)
    if not samples:
        raise InputError(f"{source} has no samples to show.")
    slots = slots or _slots_of(samples)
    page, bad = contact_sheet(
        samples, slots, title=Path(opened.name).name, summary=f"{len(samples)} of {total} samples; {', '.join(slots)}"
    )
    path = output or Path(f"{Path(opened.name).stem}.html")
    write_page(path, page)
    typer.echo(f"{opened.name}: {total} samples; slots {', '.join(f'{s} ({m})' for s, m in slots.items())}")
    for reason in bad:
        typer.echo(f"cannot be shown: {reason}")
    typer.echo(f"Written: {path}")


def _some_samples(dataset: Any, count: int) -> tuple[list[Any], str]:
    """Samples spread over a data set, and how many it has, in words."""
    from itertools import islice

    from omni.data.contact_sheet import evenly
    from omni.data.groups import Unreadable, group_of

    group = group_of(dataset, [])
    if group.length is not None:
        rows = evenly(group.length, count)
        entries = [group.read(next(group.tickets(row))) for row in rows]
    else:
        entries = [group.read(ticket) for ticket in islice(group.tickets(0), count)]
    broken = [entry for entry in entries if isinstance(entry, Unreadable)]
    if broken and len(broken) == len(entries):
        raise broken[0].error
    samples = [entry for entry in entries if not isinstance(entry, Unreadable)]
    return samples, str(group.nominal if group.nominal is not None else "an unknown number of")


@app.command(
    "build", context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def build(ctx: typer.Context, name: Annotated[str, typer.Argument(help="A data set that can be built here.")]) -> None:
    """Build a data set; what follows its name goes to its builder (omni data build NAME --help)."""
    from omni.plugin.catalog import get_catalog

    catalog = get_catalog()
    buildable = [other.spec.name for other in catalog.entries("dataset") if other.spec.build]
    if name in ("--help", "-h"):  # without a data set; with one its builder answers
        typer.echo(f"{ctx.get_help()}\n\nBuilt here: {', '.join(buildable) or 'none'}.")
        return
    require_name(name, "data set")
    entry = catalog.get("dataset", name)
    if not entry.spec.build:
        raise ConfigError(
            f"The data set {name!r} is not built here; it is obtained as: {entry.spec.obtained or 'not said'}. "
            f"Those that are built here: {', '.join(buildable) or 'none'}."
        )
    status = catalog.resolve(entry.spec.build, needed_by=entry)(list(ctx.args))
    if status:
        raise typer.Exit(int(status))


@app.command("check")
def check(
    sources: Annotated[list[str], typer.Argument(help="Manifests, WebDataset shards, or data sets' names.")],
    option: Annotated[list[str] | None, OPTION] = None,
    slot: Annotated[list[str] | None, SLOT] = None,
    model: Annotated[str, typer.Option(help="Check as this model would read: its transforms.")] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads; default: one a core.", show_default=False)
    ] = None,
    as_json: Annotated[bool, AS_JSON] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Read every item; report each bad one with its reason. Exit code 0: all are sound, 1: not all."""
    for source in sources:
        require_name(source, "data set")
    processor = None
    if model:
        from omni.inference import load

        processor = load(model, device="cpu").processor
    several = len(sources) > 1
    rows = []
    for source in sources:
        if several and not as_json:
            typer.echo(f"{source}:")
        try:
            opened, slots = _open(source, option or (), slot or (), processor=processor, lenient=True)
            report = _check_one(opened.dataset, slots, processor, workers, as_json=as_json, quiet=quiet)
        except (InputError, UnknownComponentError) as error:
            if not several:
                raise
            rows.append({"source": source, "ok": False, "error": str(error)})  # the others are looked at all the same
            if not as_json:
                typer.echo(str(error))
        else:
            rows.append({"source": source, **report.to_dict()} if several else report.to_dict())
    bad = [row for row in rows if not row["ok"]]
    if as_json:
        typer.echo(json.dumps({"ok": not bad, "sources": rows} if several else rows[0], indent=1, ensure_ascii=False))
    elif several:
        typer.echo(f"{len(sources)} sources, {len(bad) or 'none'} bad")
    if bad:
        raise typer.Exit(1)


def _check_one(dataset: Any, slots: Any, processor: Any, workers: int | None, *, as_json: bool, quiet: bool) -> Any:
    """The report of one source, told as it is found unless it is for programs."""
    from omni.data.checking import check_dataset

    def tell(item: Any) -> None:
        if not as_json:
            where = f"{item.position}  " if item.position is not None else ""
            typer.echo(f"{where}{item.id}: {item.reason}")

    report = check_dataset(
        dataset, slots, processor=processor, on_item=tell, num_workers=workers, progress=False if quiet else None
    )
    if not as_json:
        for name, values in report.values.items():
            typer.echo(
                f"{name}: {values} values" + (f", {report.missing[name]} missing" if report.missing[name] else "")
            )
        typer.echo(f"{report.samples} samples, {len(report.bad) or 'none'} bad")
    return report


@app.command("shard")
def shard(
    source: Annotated[str, SOURCE],
    output: Annotated[Path, typer.Option("--output", "-o", help="The shards' folder.")],
    option: Annotated[list[str] | None, OPTION] = None,
    slot: Annotated[list[str] | None, SLOT] = None,
    name: Annotated[str, typer.Option(help="The shards' names begin with it; default: the source's.")] = "",
    shard_mb: Annotated[float, typer.Option(min=0.001, help="Most megabytes of a shard.")] = 512.0,
    shard_samples: Annotated[int, typer.Option(min=1, help="Most samples of a shard.")] = 10_000,
    on_bad: Annotated[str, ON_BAD] = "raise",
    restart: Annotated[bool, typer.Option("--restart", help="Write over the shards that are there.")] = False,
    quiet: Annotated[bool, QUIET] = False,
) -> None:
    """Write WebDataset shards: tar files, the same bytes on every run, and index.json. A stopped job goes on."""
    from omni.data.sharding import write_shards

    require_name(source, "data set")
    opened, slots = _open(source, option or (), slot or ())
    if not slots:
        samples, _ = _some_samples(opened.dataset, 100)
        slots = _slots_of(samples)
    done = write_shards(
        opened.dataset, output, slots, name=name or Path(opened.name).stem, shard_bytes=int(shard_mb * 1e6),
        shard_samples=shard_samples, on_bad=on_bad, about=opened.about, restart=restart,
        progress=False if quiet else None,
    )  # fmt: skip
    for key, count in done.slots.items():
        typer.echo(f"{key}: {count} values")
    if done.bad.count:
        typer.echo(done.bad.summary())
    typer.echo(f"Written: {len(done.shards)} shards, {done.samples} samples, {done.bytes / 1e6:.1f} MB: {output}")


def _open(
    source: str, options: Any, chosen: Any, *, processor: Any = None, lenient: bool = False
) -> tuple[Any, dict[str, str] | None]:
    """The data set, and slot -> modality of what is wanted; None = as its samples say."""
    from omni.cli.sources import open_source

    named = dict(_slot_and_modality(text) for text in chosen) or None
    if processor is not None:
        named = {slot: processor.modalities[slot] for slot in (named or processor.slots)}
    opened = open_source(source, options, modalities=named, lenient=lenient)
    slots = opened.slots
    if named is not None:
        missing = [slot for slot in named if slots is not None and slot not in slots]
        if missing and processor is None:
            raise InputError(f"{opened.name} has no slot {missing[0]!r}; its slots are {', '.join(slots or ())}.")
        slots = {slot: modality for slot, modality in named.items() if slots is None or slot in slots}
    return opened, slots


def _slot_and_modality(text: str) -> tuple[str, str]:
    slot, equals, modality = text.partition("=")
    return slot, modality if equals else slot


def _slots_of(samples: list[Any]) -> dict[str, str]:
    """The slots that samples have, each of the modality called like it."""
    return {slot: slot for sample in samples for slot in sample.values}
