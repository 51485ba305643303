"""What must be forgettable: summaries sealed under keys of their own, and pseudonyms in place of persons."""
