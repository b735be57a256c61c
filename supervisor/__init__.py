"""Keeps the other processes alive, and speaks for them."""
