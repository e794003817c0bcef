"""Show results: figures and tables."""
