"""Scripts that other programs' interpreters run; they import nothing of isoslice."""
