-- The views are the contract of dashboards, reports and retraining: tables below them may change, these columns stay. A
-- condition on `at` reaches the weekly partitions through each of them.

-- A list as it was sent.
CREATE VIEW online_lists AS
SELECT at, recommendation_id, user_id, model_version, arm, source, coalesce(skipped, '{}') AS skipped,
  cardinality(playlist_ids) AS playlists
FROM impressions;

-- A playlist of a list. rank: from 1. score, propensity: NULL where the release did not say.
CREATE VIEW online_impressions AS
SELECT at, recommendation_id, user_id, model_version, arm, source, playlist_id, rank::int AS rank,
  scores[rank] AS score,
  CASE WHEN scores IS NOT NULL THEN coalesce(propensities[rank], 1) END AS propensity
FROM impressions, unnest(playlist_ids) WITH ORDINALITY AS shown (playlist_id, rank);

-- What a listener did with a playlist of a list. score: liked 1, ignored 0, disliked -1.
CREATE VIEW online_reactions AS
SELECT at, feedback_id, recommendation_id, user_id, model_version, arm, playlist_id, score FROM reactions;

-- One action: a user-block. Its arrays are sorted by id; empty where there is none.
CREATE VIEW online_blocks AS
SELECT at, feedback_id, recommendation_id, user_id, model_version, arm,
  coalesce(array_agg(playlist_id ORDER BY playlist_id) FILTER (WHERE score = 1), '{}') AS liked,
  coalesce(array_agg(playlist_id ORDER BY playlist_id) FILTER (WHERE score = 0), '{}') AS ignored,
  coalesce(array_agg(playlist_id ORDER BY playlist_id) FILTER (WHERE score = -1), '{}') AS disliked
FROM reactions
GROUP BY at, feedback_id, recommendation_id, user_id, model_version, arm;
