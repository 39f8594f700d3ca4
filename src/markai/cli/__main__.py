"""``python -m markai.cli``, where the script is not on the path."""

from markai.cli import main

main()
