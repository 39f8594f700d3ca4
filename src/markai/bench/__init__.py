"""The robustness benchmark: methods against attacks over pictures, every figure with its interval."""
