"""Benchmarks, run by `python -m tests.benchmarks`: ratios to what can be measured beside us, on a made-up history."""
