-- A reaction with the list that it is about. at: of the list; reacted_at: of the reaction. rank: from 1; NULL: the list has
-- no such playlist. The places come from the list's own array: as many rows as reactions are joined, not as many as
-- playlists were shown. Give a condition on both times.
CREATE VIEW online_ranked_reactions AS
SELECT impressions.at, reactions.at AS reacted_at, recommendation_id, user_id, impressions.model_version, impressions.arm,
  reactions.playlist_id, reactions.score, array_position(impressions.playlist_ids, reactions.playlist_id) AS rank
FROM reactions JOIN impressions USING (recommendation_id, user_id);
