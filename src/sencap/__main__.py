"""``python -m sencap``."""

import sys

from sencap.cli import main

sys.exit(main())
