"""Run explanations and metrics on real images: models, photographs and the job that joins them."""
