"""The two papers' own: cases, published numbers, and their tables, figures and claims."""
