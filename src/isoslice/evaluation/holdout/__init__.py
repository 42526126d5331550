"""`isoslice check`: measured planes hidden, restored, and compared."""
