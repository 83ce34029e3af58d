-- When a list that was computed before it was asked for was computed: the begin of the run of `buddies daily run`. NULL:
-- it was computed when it was asked for, or an earlier release wrote it.
ALTER TABLE impressions ADD COLUMN computed timestamptz;

CREATE OR REPLACE VIEW online_lists AS
SELECT at, recommendation_id, user_id, model_version, arm, source, coalesce(skipped, '{}') AS skipped,
  cardinality(playlist_ids) AS playlists, computed
FROM impressions;
