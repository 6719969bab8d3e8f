"""`python -m goldfold VERB ...`"""

from goldfold.cli import main

if __name__ == "__main__":
    main()
