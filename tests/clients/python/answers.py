"""An answer of Recommend with every field set."""

from spotify_buddies.protos.buddies.v1 import recommender_pb2 as pb

ANSWER = pb.RecommendResponse(
    recommendations=[
        pb.Recommendation(
            user_id="ada",
            recommendation_id="r1",
            model_version="7",
            arm=pb.ARM_CANARY,
            source=pb.SOURCE_COLD_NEIGHBOURS,
            skipped=[pb.SKIPPED_DAILY_LIST],
            unknown_songs=2,
            playlists=[
                pb.RecommendedPlaylist(
                    playlist_id="p1",
                    title="Rainy",
                    owner_id="bob",
                    score=0.5,
                    reason=pb.Reason(shared_songs=2, text="why", examples=[pb.SongName(title="T", artist="A")]),
                ),
                pb.RecommendedPlaylist(playlist_id="p2"),
                pb.RecommendedPlaylist(
                    playlist_id="p3",
                    reason=pb.Reason(text="why", kind=pb.REASON_KIND_ARTISTS, artist_songs=12, artists=["A", "B"]),
                ),
                pb.RecommendedPlaylist(
                    playlist_id="p4", reason=pb.Reason(kind=pb.REASON_KIND_FOLLOWERS, common_followers=7)
                ),
                pb.RecommendedPlaylist(
                    playlist_id="p5",
                    counterfactual=pb.Counterfactual(
                        outcome=pb.COUNTERFACTUAL_OUTCOME_FOUND,
                        replaced_by="p9",
                        rankings=12,
                        songs=[pb.KnownSong(song_id="SO1", title="T", artist="A"), pb.KnownSong(title="U", artist="B")],
                    ),
                ),
            ],
        )
    ]
)
