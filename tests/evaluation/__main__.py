"""Run the evaluation: `python -m tests.evaluation`."""

from .evaluate import main

raise SystemExit(main())
