"""``python -m trials.breaks``."""

from trials.breaks import main

main()
