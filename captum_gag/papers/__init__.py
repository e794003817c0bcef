"""What belongs to the two papers alone: cases, published numbers, their tables, figures and claims."""
