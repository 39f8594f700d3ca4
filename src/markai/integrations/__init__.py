"""Marks in the engines that others serve models with: transformers, llama.cpp, vLLM. Imports none of them by itself."""
