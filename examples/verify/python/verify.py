"""Verifies an access token with the public keys of Latchkey, and prints the user id.

python verify.py <address of the JWKS> <issuer> < token
"""

import sys

import jwt

# The setting `AUDIENCE` of the stack.
AUDIENCE = "latchkey"


def user_of(token, keys, issuer):
    """Returns the user id. Raises `jwt.PyJWTError` if the token is not valid."""
    decoded = jwt.decode_complete(
        token,
        keys.get_signing_key_from_jwt(token).key,
        # The algorithm is fixed here, and never read from the token.
        algorithms=["EdDSA"],
        issuer=issuer,
        audience=AUDIENCE,
        options={"require": ["iss", "aud", "exp", "sub"]},
        leeway=5,
    )
    if decoded["header"].get("typ") != "at+jwt":
        raise jwt.InvalidTokenError("not an access token")
    return decoded["payload"]["sub"]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("not valid: needs a JWKS address and an issuer")
    # A service does this once. The key set is kept for 5 minutes, and read again if a token has a new `kid`.
    key_set = jwt.PyJWKClient(sys.argv[1], lifespan=300)
    try:
        print(f"user: {user_of(sys.stdin.read().strip(), key_set, sys.argv[2])}")
    except jwt.PyJWTError as error:
        # The reason is for the log of the service. A client only gets 401.
        sys.exit(f"not valid: {error}")
