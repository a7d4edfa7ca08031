"""Issues tokens as a login service would, with PyJWT: prints the key set and tokens by name, as JSON."""
import base64, json, sys, time
import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm

now = int(sys.argv[1])
good = {"iss": "https://login.example", "aud": "reveille", "sub": "alice", "exp": now + 600}

keys = {
    "HS256": (b"a secret of thirty-two bytes !!!", HMACAlgorithm),
    "RS256": (rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm),
}
jwks, tokens = [], {}
for name, (key, algorithm) in keys.items():
    public = key if name == "HS256" else key.public_key()
    jwk = json.loads(algorithm.to_jwk(public))
    jwk.update({"kid": name, "use": "sig"})
    jwk.pop("key_ops", None)
    jwks.append(jwk)
    tokens["good " + name] = jwt.encode(good, key, algorithm=name, headers={"kid": name})


def bad(name, changes, key="ES256", headers=None, without=()):
    claims = {k: v for k, v in {**good, **changes}.items() if k not in without}
    tokens["bad " + name] = jwt.encode(claims, keys[key][0], algorithm=key, headers={"kid": key, **(headers or {})})


bad("expired", {"exp": now - 60})
bad("not begun", {"nbf": now + 60})
bad("of another issuer", {"iss": "https://evil.example"})
bad("for somebody else", {"aud": "mail"})
bad("without an end", {}, without=("exp",))
bad("without an audience", {}, without=("aud",))
bad("without an issuer", {}, without=("iss",))
bad("without a user", {}, without=("sub",))
bad("of an anonymous user", {"sub": "anonymous:AAAAAAAAAAAAAAAAAAAAAA"})
bad("with something critical", {}, headers={"crit": ["curfew"], "curfew": "22:00"})
bad("with an unknown key", {}, headers={"kid": "elsewhere"})
stranger = ec.generate_private_key(ec.SECP256R1())
tokens["bad forged"] = jwt.encode(good, stranger, algorithm="ES256", headers={"kid": "ES256"})
tokens["bad unsigned"] = jwt.encode(good, None, algorithm="none", headers={"kid": "ES256"})
# The public key as a secret: what confuses those who believe the header.
part = lambda value: base64.urlsafe_b64encode(value).rstrip(b"=")
head = part(json.dumps({"alg": "HS256", "typ": "JWT", "kid": "RS256"}).encode())
signed = head + b"." + part(json.dumps(good).encode())
from cryptography.hazmat.primitives import hashes, hmac, serialization
pem = keys["RS256"][0].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
mac = hmac.HMAC(pem, hashes.SHA256())
mac.update(signed)
tokens["bad confused"] = (signed + b"." + part(mac.finalize())).decode()

rotated = ec.generate_private_key(ec.SECP256R1())
jwk = json.loads(ECAlgorithm.to_jwk(rotated.public_key()))
jwk.update({"kid": "next", "use": "sig"})
print(json.dumps({
    "jwks": {"keys": jwks},
    "tokens": tokens,
    "rotated": {"keys": [jwk]},
    "rotated token": jwt.encode(good, rotated, algorithm="ES256", headers={"kid": "next"}),
}))
