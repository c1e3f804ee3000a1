"""What the demo, the benchmarks, the experiments and the Makefile share; no part of what is installed."""
