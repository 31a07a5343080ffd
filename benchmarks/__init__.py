"""How fast the house is: ours and its peers in one run, judged by ratios. It runs as `python -m benchmarks`."""
