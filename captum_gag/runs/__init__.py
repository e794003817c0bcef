"""Run many methods by many metrics over a data set: spec, store, scorer, executors."""
