"""What is listed rather than conversed with: models, usage, embeddings."""
