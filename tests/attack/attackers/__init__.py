"""The attacks by what they abuse; to import this is to have them all in the table."""

from tests.attack.attackers import http, pictures, sockets
from tests.attack.table import ATTACKS, Attack

__all__ = ["ATTACKS", "Attack", "http", "pictures", "sockets"]
