"""Settings of the data set, of training and of the registry."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spotify_buddies.foundation.terminal.durations import seconds
from spotify_buddies.foundation.text.registry_names import model_fault

TRIPLETS_IN_A_FILE = 50_000_000


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(_Section):
    """The [data] section: raw files to labelled data. The defaults are the published figures, where there is one."""

    seed: int = Field(42, description="seed of every random draw of the data set")
    matching: Literal["plain", "full"] = Field(
        "full",
        description="how song names are compared: plain: strip + lower case, as the published figures; full: more",
    )
    joined_artists: bool = Field(
        True, description='whether full matching also tries an artist\'s other names: "A" for "A & B", "First Last"'
    )
    near_names: bool = Field(
        True,
        description="whether full matching also compares names that are near each other: misspelled ones, and titles "
        "whose subtitle is left out",
    )
    beta_a: float = Field(1.3, gt=0, description="first shape of the Beta that mixes a user's scores")
    beta_b: float = Field(3.3, gt=0, description="second shape parameter of that Beta")
    liked_share: float = Field(0.015, gt=0, le=1, description="share of a user's scored playlists that count as liked")
    sample_users: float = Field(1.0, gt=0, le=1, description="share of the users that are kept")
    cold_users: float = Field(0.05, ge=0, lt=1, description="share of the kept users that are held out as cold")
    min_liked_to_split: int = Field(5, ge=1, description="users with fewer likes train on all of them")
    ownership: Literal["nearest", "reference"] = Field(
        "nearest",
        description="who owns a playlist that names nobody: the nearest by songs, or, as published, who likes it most",
    )
    follow_split: Literal["auto", "cut", "user", "random"] = Field(
        "auto",
        description="real follows for training, validation and test: cut at two moments, by each user's order of time, "
        "or at random; auto: cut where there are times, else random",
    )
    owned_max: int = Field(100, ge=1, description="most playlists that one user is made the owner of")
    negatives: int = Field(4, ge=1, description="negatives per training positive")
    hard_share: float = Field(0.5, ge=0, le=1, description="share of the negatives drawn from the hard pool")
    hard_pool: float = Field(
        0.2, gt=0, le=1, description="top share, by score, of the not liked playlists: the hard pool"
    )
    triplets: Literal["auto", "file", "drawn"] = Field(
        "auto",
        description="whether triplets are written to a file or drawn while training; auto: a file up to "
        f"{TRIPLETS_IN_A_FILE:,} of them (12 bytes each). What drawing needs is written in either case",
    )
    pool_sample: int = Field(
        128, ge=1, description="most playlists of a user's hard pool, and of the easy one, kept to draw negatives from"
    )
    toy_users: float = Field(0.05, gt=0, le=1, description="share of users in the toy triplets")
    validation_negatives: int = Field(50, ge=1, description="negatives beside each validation positive")
    validation_rows: int = Field(
        1_000_000, ge=1, description="most held-out positives in a file of batches, evenly spread over the users"
    )
    block_users: int = Field(4_096, ge=1, description="users per block; bounds memory, changes nothing else")


class TrainSettings(_Section):
    """The [train] section: BPR."""

    seed: int = Field(42, description="seed of the factors and of the order of the triplets")
    model: Literal["hybrid", "bpr"] = Field(
        "hybrid",
        description="hybrid: sums of song and artist factors plus one factor per user and playlist; bpr: only the "
        "latter",
    )
    taste_share: float = Field(
        0.5, ge=0, lt=1, description="hybrid: share of the dimensions that hold the taste of song sets, without likes"
    )
    taste: Literal["learned", "svd"] = Field(
        "learned",
        description="hybrid: what the taste is: a map learned from the halves of song sets, or their SVD, which needs "
        "no torch",
    )
    taste_weight: float = Field(
        40.0,
        gt=0,
        description="hybrid: weight of the taste's cosine in the score, while likes are learned and in what serves; of "
        "real follows 5, unless it is set",
    )
    artist_weight: float = Field(
        0.25, ge=0, description="hybrid: weight of a song's artist beside the song, in what likes teach"
    )
    taste_artist_weight: float = Field(
        0.5, ge=0, description="hybrid: the same in the taste, which finds people's own playlists better by more of it"
    )
    lower_hubs: bool = Field(
        True,
        description="hybrid: whether playlists whose taste is near to that of many people stand back, by one of the "
        "dimensions; not of real follows",
    )
    hybrid_batch: int = Field(
        8_000_000, ge=1, description="hybrid: triplets a step of Adam; of real follows a sixteenth of an epoch at most"
    )
    item_model: Literal["auto", "none", "ease", "elsa"] = Field(
        "auto",
        description="models of playlists followed together, for the blend; ease: exact, with walks; elsa: low rank; "
        "auto: ease up to 20,000 playlists, elsa beyond, none for simulated likes",
    )
    blend: Literal["auto", "none"] = Field(
        "auto", description="whether models and popularity are blended where held-out follows rank better by it"
    )
    backend: Literal["auto", "numba", "torch", "fused"] = Field(
        "auto",
        description="fused takes numba's steps by torch on a CUDA device, or on a CPU where there is none; torch: "
        "bpr by the published recipe, SparseAdam, and hybrid as numba; auto: fused on a CUDA device, else numba",
    )
    triplets: Literal["auto", "file", "drawn"] = Field(
        "auto",
        description="the data set's file of triplets, or negatives drawn anew each epoch, which ranks better; auto: "
        "drawn, or the file of a data set that was built without what drawing needs",
    )
    negatives: int | None = Field(None, ge=1, description="negatives per positive and epoch; unset: as in [data]")
    hard_share: float | None = Field(
        None, ge=0, le=1, description="share of the negatives drawn from the hard pool; unset: as in [data]"
    )
    epoch_triplets: int = Field(
        64_000_000,
        ge=1,
        description="most triplets in one epoch; a larger data set takes several epochs per pass",
    )
    dimension: int = Field(128, ge=1, le=4_096, description="length of a factor")
    epochs: int = Field(
        100,
        ge=1,
        description="most epochs; training stops earlier, `patience` epochs after the best one, which is kept",
    )
    learning_rate: float | None = Field(
        None,
        gt=0,
        description="step size; unset: 0.05 for the row-wise Adagrad (bpr by numba and fused), 0.005 for Adam (torch, "
        "hybrid)",
    )
    regularisation: float | None = Field(
        None,
        ge=0,
        description="L2 weight on the factors of each triplet (hybrid: on own factors, beside the mean gradient); "
        "unset: 0.005 for bpr by numba and fused, 0 for torch, as published, and for hybrid",
    )
    centring: float | None = Field(
        None,
        ge=0,
        le=1,
        description="share of the mean user that is taken out of all users; unset: the one of 0, 0.1, .. 1 with the "
        "best validation MRR (bpr by numba and fused), 0 for torch, as published, and for hybrid",
    )
    batch: int = Field(16_384, ge=1, description="triplets per batch (torch)")
    accumulate: int = Field(1, ge=1, description="batches per optimiser step (torch)")
    fused_batch: int = Field(
        65_536, ge=1, description="most triplets per step; an epoch has at least 100 steps (bpr: fused without Triton)"
    )
    deterministic: bool = Field(
        False, description="on a CUDA device: the same bytes on every run (fused), slower; a CPU always gives the same"
    )
    patience: int = Field(
        5,
        ge=1,
        description="epochs without a better validation MRR, the mean of random and hard, before training stops; of "
        "the hybrid model they are 60 steps at least, where an epoch is more than one",
    )
    threads: int = Field(1, ge=0, description="numba threads; 1 is deterministic, 0 is all cores without locks")


class CandidateSettings(_Section):
    """The [candidates] section: which playlists are scored for a user. Each budget was measured (docs/adr/0021)."""

    pairing_only: bool = Field(
        False, description="the pairing's candidates alone, as published: playlists without an owner are never answered"
    )
    pairing: int | None = Field(
        None,
        ge=0,
        le=10_000,
        description="most candidates of the pairing, see [pairing] candidates; unset: 75 for a model without a taste, "
        "0 for the others, whose nearest playlists hold what it finds",
    )
    taste: int = Field(200, ge=0, le=10_000, description="candidates nearest to the user's factor")
    follows: int = Field(
        100,
        ge=0,
        le=10_000,
        description="candidates that those like who like the same; only of a data set whose likes are people's own",
    )
    popular: int = Field(
        100, ge=0, le=10_000, description="candidates that most users like; only of a data set as for `follows`"
    )
    new: int = Field(0, ge=0, le=10_000, description="candidates nearest to the user among the new playlists")
    new_likes: int = Field(0, ge=0, description="a playlist with at most so many likes counts as new")
    likes_scale: float = Field(
        0.1, ge=0, description="hybrid: weight of the likes beside the taste where the nearest playlists are looked for"
    )
    exact_cells: int = Field(
        2_000_000,
        ge=0,
        description="playlists times dimensions up to which every playlist is looked at; more of them are searched "
        "with a FAISS index",
    )
    block_users: int = Field(4_096, ge=1, description="users per block; bounds memory, changes nothing else")


class RetrainSettings(_Section):
    """The [retrain] section: which feedback teaches, how much, and what a retrained version must show."""

    window: str = Field("30d", description="length of the window of feedback, as 30d or 12h")
    most_blocks: int = Field(200, ge=1, description="user-blocks of one user in a window, the newest ones")
    bot_blocks_a_day: int = Field(200, ge=1, description="with more user-blocks in a day a user is a bot")
    bot_like_share: float = Field(
        0.9, gt=0, le=1, description="with a larger share of likes among the reactions a user is a bot"
    )
    bot_blocks: int = Field(20, ge=1, description="user-blocks from which on the share of likes says so")
    weights: tuple[float, ...] = Field(
        (1.0, 4.0),
        description="weights of all feedback against all implicit likes of the standing data set; each is trained, the "
        "best on the validation window is kept. Empty, or real follows in that data set: feedback alone",
    )
    least_people: int = Field(50, ge=2, description="people with held-out feedback, below which nothing is judged")
    position_bias: float = Field(
        0.5, ge=0, le=4, description="people look at rank r with a probability of r to the power of minus this"
    )
    half_life: str = Field("7d", description="age at which a look, and its like, counts half")
    drop: float = Field(
        0.05, ge=0, le=1, description="most of the serving version's MRR on held-out feedback that may be lost"
    )
    standing_drop: float = Field(
        0.1, ge=0, le=1, description="the same of its MRR on the held-out likes of the standing data set"
    )
    kept: float = Field(0.5, ge=0, le=1, description="least share of the coverage and evenness of its lists to be kept")
    same_for_all: float = Field(
        0.2, ge=0, le=1, description="how many more people, as a share, may get the playlist that most people get"
    )

    @field_validator("weights")
    @classmethod
    def _are_weights(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < weight < float("inf") for weight in weights) or len(set(weights)) != len(weights):
            raise ValueError("weights are different numbers above 0")
        return weights

    @field_validator("window", "half_life")
    @classmethod
    def _is_time(cls, text: str) -> str:
        if seconds(text) <= 0:
            raise ValueError("it is longer than nothing")
        return text


class RegistrySettings(_Section):
    """The [registry] section: MLflow."""

    model: str = Field("organic-playlists", description="name of the registered model")
    experiment: str = Field("buddies", description="name of the MLflow experiment")

    @field_validator("model")
    @classmethod
    def _check_model(cls, value: str) -> str:
        # The registry itself would refuse the name only after the training.
        if problem := model_fault(value):
            raise ValueError(f"the name {problem}")
        return value
