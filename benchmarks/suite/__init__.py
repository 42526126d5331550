"""The benchmark suite: every case, scale and method in one run that can be continued."""
