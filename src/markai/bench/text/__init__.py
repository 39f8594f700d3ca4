"""The same benchmark for marks in text: a small language model writes, what comes out is attacked and read.

    markai bench --modality text --quick --out bench

or, from Python:

    plan = presets.quick(["text-gumbel", "transformers/lefthash"])
    header, rows = work.run(plan, Path("bench/rows.jsonl"), jobs=2)
    report.write(summary.of(header, rows, plan), Path("bench"))

Rows, processes, intervals and the page are those of pictures. Whatever is read are ids of the model's tokenizer: those
of the attacked text, or those that the model wrote, with edits.
"""
