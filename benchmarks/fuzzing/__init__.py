"""Spoiled files in great number: what they are made of, what is done to them, and whole runs over them."""
