"""`python -m milepost`: the command."""

from milepost.cli import main

if __name__ == "__main__":
    main()
