"""``python -m workflow``."""

from workflow.cli.main import main

main()
