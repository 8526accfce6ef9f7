"""`python -m appliance` is `appliance`."""

from appliance.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
