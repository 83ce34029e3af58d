"""Raw files to a labelled data set: reading, matching, scoring, labels, negatives."""
