"""What follows from the entries: pure functions of entries, terms and an instant."""
