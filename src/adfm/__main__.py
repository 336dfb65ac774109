"""`python -m adfm` is `adfm`."""

from adfm.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
