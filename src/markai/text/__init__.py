"""Marks in text: written while a language model chooses its tokens, found again from the tokens alone."""
