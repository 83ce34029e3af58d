"""`buddies registry`: versions, their aliases, copies in another registry, and derived ones for game days."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from spotify_buddies.foundation.terminal.console import AsJson
from spotify_buddies.foundation.terminal.visible import say
from spotify_buddies.trainer.command import Settings, checked_alias, checked_aliases
from spotify_buddies.trainer.registry.derived_kinds import DerivedKind
from spotify_buddies.trainer.settings import RegistrySettings

if TYPE_CHECKING:
    from spotify_buddies.trainer.registry.registry import Registry

SECTIONS = {"registry": RegistrySettings}

Force = Annotated[bool, typer.Option("--force", help="Move production although the offline figures speak against it.")]

app = typer.Typer(help="Registered model versions and their aliases.", no_args_is_help=True)


@app.command("list")
def list_versions(context: typer.Context, as_json: AsJson = False) -> None:
    """List the registered versions, newest first.

    Example: buddies registry list
    """
    from spotify_buddies.foundation.terminal.console import explained
    from spotify_buddies.foundation.terminal.tables import table
    from spotify_buddies.trainer.registry.registry import RegistryError
    from spotify_buddies.trainer.registry.worth import COVERAGE, GINI, SERVED, SERVED_METRICS

    figures = (*SERVED_METRICS, COVERAGE, GINI)
    settings: Settings = context.obj
    with explained(RegistryError):
        versions = open_registry(settings).list_versions()
    if as_json:
        say(json.dumps([vars(version) for version in versions], indent=1, default=str))
        return
    if not versions:
        say("no version yet; `buddies train run` registers one")
        return
    rows = [
        (
            *(one.number, ", ".join(one.aliases) or "-", f"{one.created:%Y-%m-%d %H:%M} UTC", one.bundle_sha256[:12]),
            *(f"{one.metrics[name]:.3f}" if name in one.metrics else "-" for name in figures),
        )
        for one in versions
    ]
    served = (f"served {name.removeprefix(SERVED)}" for name in figures)
    say(table(("version", "aliases", "created", "bundle", *served), rows, right=(0, *range(4, 4 + len(figures)))))


@app.command("alias")
def set_alias(
    context: typer.Context,
    alias: Annotated[str, typer.Argument(help="production, staging, canary, ...", callback=checked_alias)],
    version: Annotated[str, typer.Argument(help="Version number.")],
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Point an alias at a version. Production needs offline figures that are not below the baselines, or --force.

    Nor may they be surely below those of the version that serves, where both were made from one data set.

    Example: buddies registry alias production 3
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.registry.production import check_production, serving_version
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    with explained(RegistryError):
        registry = open_registry(settings)
        check_production(registry.get(version), [alias], serving_version(registry), force=force)
        registry.set_alias(alias, version)
    if as_json:
        show({"alias": alias, "version": version}, as_json=True)
        return
    say(f"{alias} -> {version}")


@app.command("copy")
def copy_version(
    context: typer.Context,
    source: Annotated[str, typer.Option("--from", metavar="URI", help="MLflow that has the version.")],
    target: Annotated[str, typer.Option("--to", metavar="URI", help="MLflow that receives it.")],
    version: Annotated[str | None, typer.Option(help="Version number; default: what alias production names.")] = None,
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Alias of the copy; repeatable; default: none.", callback=checked_aliases),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Copy a version to another registry. Hashes are checked on both sides; tags record the origin.

    A bundle that is there already keeps its version, so that the command can be repeated.

    Example: buddies registry copy --from http://staging:5000 --to http://production:5000 --version 7 --alias canary
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.production import check_production
    from spotify_buddies.trainer.registry.registry import Registry, RegistryError
    from spotify_buddies.trainer.registry.transfer import copy_version as copy

    settings: Settings = context.obj
    ours, theirs = Registry(source, settings.registry.model), Registry(target, settings.registry.model)
    with explained(RegistryError, BundleError):
        number = version or ours.resolve("production").number
        check_production(ours.get(number), alias or (), force=force)
        copied = copy(ours, theirs, number, settings.registry.experiment, aliases=tuple(alias or ()))
    if as_json:
        show(vars(copied), as_json=True)
        return
    done = "copied" if copied.new else "there already"
    named = f", {', '.join(alias)} -> {copied.version}" if alias else ""
    say(f"version {copied.source_version} is version {copied.version} there ({done}){named}")


@app.command("derive")
def derive_version(
    context: typer.Context,
    version: Annotated[str, typer.Argument(help="Version number of the source.")],
    kind: Annotated[
        DerivedKind,
        typer.Option(help="same: an equal one; shuffled: ranks badly; erring: no finite scores for half of the users."),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Another seed gives another version of the same kind.")] = 1,
    alias: Annotated[
        list[str] | None, typer.Option(help="Alias of the new version; repeatable.", callback=checked_aliases)
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a test version for a game day; it passes every check before it gets traffic.

    Its tags name what is wrong with it. Never leave a bad one behind an alias.

    Example: buddies registry derive 3 --kind shuffled
    """
    from spotify_buddies.foundation.terminal.console import explained, show
    from spotify_buddies.trainer.bundle import BundleError
    from spotify_buddies.trainer.registry.derive import derive_version as derive
    from spotify_buddies.trainer.registry.production import check_derived, check_production
    from spotify_buddies.trainer.registry.registry import RegistryError

    settings: Settings = context.obj
    registry = open_registry(settings)
    with explained(RegistryError, BundleError):
        check_derived(kind, alias or (), force=force)
        check_production(registry.get(version), alias or (), force=force)
        made = derive(
            registry, version, kind, settings.registry.experiment,
            seed=seed, aliases=tuple(alias or ()),
        )  # fmt: skip
    if as_json:
        show(vars(made), as_json=True)
        return
    done = "new" if made.new else "there already"
    named = f", {', '.join(alias)} -> {made.version}" if alias else ""
    say(f"version {made.version} is {made.kind} as made from version {made.source_version} ({done}){named}")


def open_registry(settings: Settings) -> Registry:
    """The registry of the settings."""
    from spotify_buddies.trainer.registry.registry import Registry, tracking_uri

    return Registry(tracking_uri(settings.state_dir, settings.mlflow_tracking_uri), settings.registry.model)
