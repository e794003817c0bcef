"""Networks, their preprocessing, and how they are loaded."""
