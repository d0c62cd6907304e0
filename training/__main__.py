"""Entry point of ``python -m training``."""

from training.stages import main

if __name__ == "__main__":
    main()
