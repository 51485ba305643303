"""The record as a transparency log: leaf hashes, the tree over them, and checkpoints that others hold."""
