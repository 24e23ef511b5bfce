"""Mistakes in the user's file as data; located, rendered."""
