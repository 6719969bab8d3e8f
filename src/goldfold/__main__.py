"""`python -m goldfold VERB ...`"""

from goldfold.cli.main import main

if __name__ == "__main__":
    main()
