"""`buddies bench`: the cost of the offline half, beside libraries that do the same work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.command import Settings

app = typer.Typer(help="Time and memory of the offline stages, compared with other libraries.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Time and memory of the offline stages, compared with other libraries."""


@app.command()
def offline(
    context: typer.Context,
    preset: Annotated[str, typer.Option(help="A size by name; an unknown one lists them.")] = "hundredth",
    only: Annotated[
        list[str] | None, typer.Option(help="Measure this stage again and no other; repeatable. Unknown: lists them.")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run every stage from raw files to a bundle on made-up data of one size, beside libraries that do the same work.

    State and figures stay under <state>/bench/<preset>; rerun to resume: nothing is measured twice. The plot
    of cost against size and the page beside it hold all presets measured so far.

    Example: buddies bench offline --preset hundredth
    """
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bench import lines
    from spotify_buddies.trainer.bench.offline import offline as run
    from spotify_buddies.trainer.bench.page import write_page
    from spotify_buddies.trainer.bench.plan import Bench, BenchError
    from spotify_buddies.trainer.synth.write import PRESETS

    settings: Settings = context.obj
    if preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is none of {', '.join(PRESETS)}", param_hint="--preset")
    home = settings.state_dir / "bench"
    bench = Bench((home / preset).absolute(), preset, settings.data, settings.pairing, settings.train)
    with explained(BenchError):
        outcome = run(bench, only or (), say=lambda text: say(text, err=True))
        page = write_page(home)
    if as_json:
        say(json.dumps(outcome.to_json(), indent=1))
        return
    shown = lines.table(outcome)
    say(lines.markdown(shown) if markdown else lines.aligned(shown))
    for line in outcome.skipped:
        say(f"skipped {line}")
    say(f"\npage: {page}")


@app.command()
def quality(
    attlist: Annotated[Path, typer.Option(help="Folder of AttList's files; what is missing is named.")],
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds the models with randomness are fitted with.")] = 5,
    seed: Annotated[int, typer.Option(help="The first seed; the others follow it.")] = 42,
    low_rank: Annotated[bool, typer.Option(help="Fit ELSA too, the slowest of them.")] = True,
    any_files: Annotated[bool, typer.Option("--any-files", help="Take other files of the same form.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table as Markdown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rank the held-out follows of a public split of real people, with our models and others', and with the blend.

    The files are not part of this: without them the command says which they are and where they are from. With test.txt
    it measures on the test rows; without, on validation, on which then nothing is tuned.

    Example: buddies bench quality --attlist attlist --seeds 1
    """
    import time

    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.bench import lines as tables
    from spotify_buddies.trainer.bench.quality import lines
    from spotify_buddies.trainer.bench.quality.files import open_split
    from spotify_buddies.trainer.bench.quality.run import compare
    from spotify_buddies.trainer.dataset.errors import DataError

    with explained(DataError):
        data, notes = open_split(attlist, any_files=any_files)
    for note in notes:
        say(note, err=True)
    report = compare(data, range(seed, seed + seeds), time.process_time_ns, low_rank=low_rank, progress=Reporter())
    if as_json:
        say(json.dumps(report.to_json(), indent=1))
        return
    shown = lines.table(report)
    say(tables.markdown(shown) if markdown else tables.aligned(shown))
    for line in lines.sentences(report):
        say(line)


@app.command("serving-bundle")
def serving_bundle(
    directory: Annotated[Path, typer.Argument(help="Where the bundle goes; a bundle there is replaced.")],
    users: Annotated[int, typer.Option(min=1, help="Users.")] = 100_000,
    playlists: Annotated[int, typer.Option(min=1, help="Playlists.")] = 180_000,
    dimension: Annotated[int, typer.Option(min=1, help="Dimensions of the factors.")] = 128,
    candidates: Annotated[int, typer.Option(min=1, help="Candidate playlists of each user.")] = 75,
    songs: Annotated[int, typer.Option(min=1, help="Songs.")] = 50_000,
    seed: Annotated[int, typer.Option(help="Random seed; the same seed gives the same bytes.")] = 42,
    as_json: AsJson = False,
) -> None:
    """Write a bundle of a given shape to measure serving on: factors and candidates are drawn, nothing is trained.

    Example: buddies bench serving-bundle .buddies/drawn && buddies serve start --bundle .buddies/drawn
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.bench.serving import Shape, write_serving_bundle
    from spotify_buddies.trainer.bundle import BundleError

    if directory.exists() and any(directory.iterdir()) and not (directory / "manifest.json").is_file():
        raise typer.BadParameter(f"{directory} is not empty and holds no bundle", param_hint="DIRECTORY")
    shape = Shape(users, playlists, dimension, candidates, songs)
    with explained(BundleError, ValueError):
        made = write_serving_bundle(directory, shape, seed, Reporter())
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    show({"bundle": str(directory), "sha256": made.sha256, "megabytes": round(size / 1e6, 1)}, as_json=as_json)
