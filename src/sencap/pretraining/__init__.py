"""Contrastive pre-training of an extractor's backbone on dated images of places,
without labels."""
