"""Where entries are kept: the mapper to stored events, the SQLite recorder, and stream files read as ledgers."""
