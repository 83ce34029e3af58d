"""The blocks in memory: which state holds, what a reload forgets, and how much the names take."""

from __future__ import annotations

from spotify_buddies.serve_app.store.actions import FOREVER, Change
from spotify_buddies.serve_app.store.block_arrays import FEW_NAMES, KEEP_EXPIRED_S, NameTable, merge, nothing, pack
from spotify_buddies.serve_app.store.blocklist import Blocklist


def test_changes_count_by_their_number_in_whatever_order_they_arrive() -> None:
    blocks = Blocklist()
    blocks.apply([Change("ada", "x", 0, 9), Change("ada", "x", FOREVER, 8), Change("ada", "y", FOREVER, 3)])
    assert blocks.find(["ada"], 1.0) == {0: ["y"]}
    arrays, layer = blocks.freeze()
    blocks.apply([Change("ada", "y", 0, 2), Change("bob", "x", 50, 10)])
    blocks.thaw(merge(arrays, layer, 1.0))
    assert blocks.find(["ada", "bob", "eve"], 1.0) == {0: ["y"], 1: ["x"]}
    assert blocks.find(["bob"], 50.0) == {}
    assert blocks.find([f"nobody-{i}" for i in range(20)] + ["ada"], 1.0) == {20: ["y"]}


def test_nothing_is_blocked_in_an_empty_table() -> None:
    assert Blocklist().find(["ada"], 1.0) == {}
    assert Blocklist().find([], 1.0) == {}


def merged(blocks: Blocklist, now: float) -> int:
    """Merge what changed; bytes of the arrays afterwards."""
    arrays, layer = blocks.freeze()
    blocks.thaw(merge(arrays, layer, now))
    return blocks.nbytes


def test_names_that_no_block_holds_any_more_are_released() -> None:
    """Each day other playlists are put off for a day: what is in memory is that of two days, not of all."""
    blocks = Blocklist()
    sizes = []
    for day in range(30):
        start = day * 86_400.0
        blocks.apply(
            Change(f"user-{n}", f"playlist-{day}-{n}", int(start) + 80_000, day * FEW_NAMES + n)
            for n in range(FEW_NAMES)
        )
        sizes.append(merged(blocks, start))
    assert max(sizes) <= 3 * sizes[0]
    now = 29 * 86_400.0
    users = [f"user-{n}" for n in range(FEW_NAMES)]
    assert blocks.find(users, now) == {n: [f"playlist-29-{n}"] for n in range(FEW_NAMES)}


def test_names_stay_what_they_are_when_others_are_released() -> None:
    blocks = Blocklist()
    keep = {f"user-{n}": f"Zoë's № {n} " + "long " * (n % 7) for n in range(0, 3 * FEW_NAMES, 5)}
    blocks.apply(Change(user_id, name, FOREVER, 1) for user_id, name in keep.items())
    blocks.apply(Change(f"user-{n}", f"dead-{n}", 10, 2) for n in range(3 * FEW_NAMES))
    before = merged(blocks, 1.0)
    blocks.apply([Change("user-5", "", FOREVER, 3)])
    assert merged(blocks, 11.0 + KEEP_EXPIRED_S) < before / 2
    place_of = {user_id: place for place, user_id in enumerate(keep)}
    found = blocks.find(list(keep), 20.0)
    assert found == {place_of[user_id]: [name, ""] if user_id == "user-5" else [name] for user_id, name in keep.items()}
    assert found[place_of["user-5"]] == [keep["user-5"], ""]


def test_all_names_are_released_with_the_last_block() -> None:
    blocks = Blocklist()
    blocks.apply(Change("ada", f"playlist-{n}", 10, n) for n in range(2 * FEW_NAMES))
    merged(blocks, 1.0)
    assert merged(blocks, 11.0 + KEEP_EXPIRED_S) == nothing().nbytes
    assert blocks.find(["ada"], 1.0) == {}


def test_a_reload_forgets_what_was_known_before_it_began() -> None:
    """The row of a block that was lifted long ago is not read, and a restored database numbers changes anew."""
    blocks = Blocklist()
    blocks.apply([Change("ada", "lifted", FOREVER, 7), Change("ada", "disliked again", 0, 8)])
    blocks.freeze()
    blocks.apply([Change("bob", "lifted", FOREVER, 9)])
    blocks.begin_reload()
    assert blocks.find(["ada", "bob"], 1.0) == {0: ["lifted"], 1: ["lifted"]}
    blocks.replace(pack([hash("ada")], [0], [FOREVER], [5], NameTable.of(["disliked again"])))
    assert blocks.find(["ada", "bob"], 1.0) == {0: ["disliked again"]}
    assert len(blocks) == 1


def test_what_arrives_during_a_reload_holds_after_it_where_it_is_newer() -> None:
    blocks = Blocklist()
    blocks.begin_reload()
    blocks.apply([Change("ada", "x", 0, 6), Change("ada", "y", 0, 4), Change("ada", "z", FOREVER, 7)])
    blocks.replace(pack([hash("ada")] * 2, [0, 1], [FOREVER] * 2, [5, 5], NameTable.of(["x", "y"])))
    assert blocks.find(["ada"], 1.0) == {0: ["y", "z"]}
