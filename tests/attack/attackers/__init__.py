"""The attacks by protocol. Importing this package adds all of them to the table."""

from tests.attack.attackers import access, http, pictures, sockets
from tests.attack.table import ATTACKS, Attack

__all__ = ["ATTACKS", "Attack", "access", "http", "pictures", "sockets"]
