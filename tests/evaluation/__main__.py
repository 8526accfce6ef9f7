"""`python -m tests.evaluation` is the evaluation."""

from .evaluate import main

raise SystemExit(main())
