"""Photographs and data sets: indexable, nothing read before it is needed."""
