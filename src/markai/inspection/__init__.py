"""What ``markai.Inspector`` does with a file: gather what each layer says, compare the layers, judge."""
