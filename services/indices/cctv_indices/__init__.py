"""Makes Elasticsearch's indices be as described, keeps them so, and removes what is too old."""
