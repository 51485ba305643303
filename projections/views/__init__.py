"""Findings kept in a SQLite file beside the ledger: a cache for reports, true up to a position, disposable."""
