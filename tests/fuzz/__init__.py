"""What the parsers and the reading commands make of bytes that nobody meant; HYPOTHESIS_PROFILE=long draws more."""
