"""Audits: what files say of where they come from, over all layers, against laws and an operator's own policy."""
