"""Prints the private key of a new GitHub App; with a key and a token, verifies the token and prints its claims."""

import base64
import sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


if len(sys.argv) == 1:
    key = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    print(key.private_bytes(*pem, serialization.NoEncryption()).decode())
else:
    key = serialization.load_pem_private_key(sys.argv[1].encode(), None)
    header, claims, signature = sys.argv[2].split(".")
    assert decode(header) == b'{"alg":"RS256","typ":"JWT"}', decode(header)
    content = f"{header}.{claims}".encode()
    key.public_key().verify(decode(signature), content, padding.PKCS1v15(), hashes.SHA256())
    print(decode(claims).decode())
