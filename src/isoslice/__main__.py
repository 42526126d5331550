"""Lets ``python -m isoslice`` stand for ``isoslice``."""

import sys

from isoslice.cli import main

sys.exit(main())
