"""The robustness benchmark: methods against attacks over pictures, every figure with its interval.

    markai bench --quick --pictures FOLDER --out bench

or, from Python:

    plan = presets.quick(["dwt-dct", "invisible-watermark/dwtDctSvd"], pictures.from_files([Path("FOLDER")]))
    header, rows = runner.run(plan, Path("bench/rows.jsonl"), jobs=2)
    report.write(summary.of(header, rows), Path("bench"))

A run is a file of rows that is only appended to: whatever stops it, the same call takes it up. Every row depends on
the seed, the settings and the versions in the first line, and on nothing else, but for the times in it.

A method of your own is named as ``package.module:attribute``, or through the entry-point group ``markai.watermarks``:
a :class:`~markai.watermarks.base.Watermark` if it knows keys and states p-values, else a
:class:`~markai.watermarks.base.BitMark`, which hides bits and reads bits.
"""
