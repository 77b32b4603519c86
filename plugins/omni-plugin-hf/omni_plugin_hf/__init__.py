"""Hugging Face encoders as towers: pictures, text, sound."""
