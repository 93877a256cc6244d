"""Runs ``deploy.sh``'s command, as ``python -m deploy``."""

import sys

from deploy import cli

sys.exit(cli.main(sys.argv[1:]))
