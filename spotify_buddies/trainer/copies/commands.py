"""`buddies data push` and `pull`: what stages have made, shared between machines through an object store."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say

if TYPE_CHECKING:
    from spotify_buddies.trainer.copies.push import Sent


class Part(StrEnum):
    """A folder of the state directory."""

    DATASET = "dataset"
    PAIRING = "pairing"
    TRAIN = "train"
    RETRAIN = "retrain"


Address = Annotated[str, typer.Argument(help="Folder in a store, as s3://bucket/folder, or a path.")]
Parts = Annotated[
    list[Part] | None,
    typer.Argument(help="dataset (with triplets and validation batches), pairing, train (with bundles), retrain."),
]


def push(context: typer.Context, address: Address, parts: Parts = None, as_json: AsJson = False) -> None:
    """Copy what stages have made into an object store; default: all that is there.

    Files lie there by the hash of their bytes, so that nothing is sent twice, and a push that was killed goes on. Each
    push adds a snapshot, whose id `buddies data pull --snapshot` takes.

    Example: buddies data push s3://music/buddies dataset pairing
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.copies import push as pushing
    from spotify_buddies.trainer.copies.places import PlaceError, open_place
    from spotify_buddies.trainer.copies.snapshot import SnapshotError

    home: Path = context.obj.state_dir
    with explained(PlaceError, SnapshotError):
        place = open_place(address)
        wanted = parts or [part for part in Part if (home / part).is_dir()]
        if not wanted:
            raise SnapshotError(f"{home}: nothing to push; `buddies data build` makes a data set")
        _say([pushing.push(home / part, part, place, Reporter()) for part in wanted], "sent", as_json=as_json)


def pull(
    context: typer.Context,
    address: Address,
    parts: Parts = None,
    snapshot: Annotated[
        str | None, typer.Option(help="Id of an earlier snapshot, of the one part that is named.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace folders that hold something else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring what was pushed into the state directory, its hashes checked; default: the data set and the pairing.

    A folder becomes the snapshot whole or stays as it is; a pull that was killed goes on.

    Example: buddies data pull s3://music/buddies dataset pairing
    """
    from spotify_buddies.foundation.stages.progress import Reporter
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.trainer.copies import pull as pulling
    from spotify_buddies.trainer.copies.places import PlaceError, open_place
    from spotify_buddies.trainer.copies.snapshot import SnapshotError

    wanted = parts or [Part.DATASET, Part.PAIRING]
    if snapshot is not None and len(wanted) != 1:
        raise typer.BadParameter("a snapshot is of one part; name it", param_hint="--snapshot")
    home: Path = context.obj.state_dir
    with explained(PlaceError, SnapshotError):
        place = open_place(address)
        _say(
            [
                pulling.pull(place, part, home / part, Reporter(), snapshot_id=snapshot, replace=replace)
                for part in wanted
            ],
            "brought",
            as_json=as_json,
        )


def _say(sent: list[Sent], verb: str, *, as_json: bool) -> None:
    from spotify_buddies.foundation.process.disk import size

    if as_json:
        say(json.dumps([asdict(one) for one in sent], indent=1))
        return
    for one in sent:
        say(
            f"{one.name} {one.snapshot}: {one.files:,} files, {size(one.bytes)}; {one.moved:,} {verb}, "
            f"{size(one.moved_bytes)}"
        )
