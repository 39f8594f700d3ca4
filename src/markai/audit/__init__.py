"""Audits of files: what each of them proves or claims about its origin, against which rules, for people and programs."""
