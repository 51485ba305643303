"""The kinds of stream: for each its state, a pure `evolve`, and `refuse` with a named reason."""
