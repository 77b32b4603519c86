"""Benchmarks: each function ``bench_*`` measures ours and a peer in the same run, interleaved."""
