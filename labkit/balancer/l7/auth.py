"""Who may ask: values that judge a request by what it shows. Nothing of a refused request reaches a backend.

Each has ``judge(request)``, which gives the user's name or a `Refused`; what it looks at is noted as read. Secrets are
compared in constant time. user: the header field in which the backend is told who it is; what a client wrote there is
taken out, whoever asks.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from labkit.balancer.l7.fields import TOKEN, Pairs, check_name
from labkit.balancer.l7.request import Watched
from labkit.errors import PolicyError
from labkit.wording import encodable, shown

_CERTIFIED = re.compile(r"[a-z0-9_*](?:[a-z0-9_.-]{0,251}[a-z0-9])?")
_TELLABLE = re.compile(
    r"(?:[^\x00-\x20\x7f](?:[^\x00-\x1f\x7f]*[^\x00-\x20\x7f])?)?"
)  # on one line, no blanks around it
_BAD_TOKEN = 'Bearer error="invalid_token"'
_LEAST_SECRET = 32  # bytes: RFC 7518 §3.2 wants as many as the hash has


@dataclass(frozen=True, slots=True)
class Refused:
    """Why not. status: 401 or 403; challenge: for WWW-Authenticate (RFC 9110 §11.6.1), if any."""

    status: int
    reason: str
    challenge: str = ""


class Auth(Protocol):
    """What a route may ask for."""

    user: str | None

    def judge(self, request: Watched) -> "str | Refused":
        """The user's name, or why not."""


@dataclass(frozen=True, slots=True, init=False)
class ApiKey:
    """A key in a header field: ``auth=ApiKey({"alice": "k-1"}, header="x-api-key", user="x-user")``.

    keys: user's name -> key.
    """

    keys: Pairs = field(repr=False)
    header: str
    user: str | None

    def __init__(self, keys: Any, header: Any = "x-api-key", user: Any = None) -> None:
        object.__setattr__(self, "keys", _secrets("ApiKey", keys))
        object.__setattr__(self, "header", _header("ApiKey", "header", header))
        object.__setattr__(self, "user", _header("ApiKey", "user", user) if user is not None else None)

    def judge(self, request: Watched) -> str | Refused:
        shown_key = request.header(self.header)
        if shown_key is None:
            return Refused(401, f"this route asks for an API key in {self.header}")
        who = _whose(self.keys, shown_key)
        return who if who is not None else Refused(401, f"the API key in {self.header} is none that is known")


@dataclass(frozen=True, slots=True, init=False)
class Basic:
    """A name and a password (RFC 7617): ``auth=Basic({"alice": "secret"})``. users: name -> password."""

    users: Pairs = field(repr=False)
    user: str | None

    def __init__(self, users: Any, user: Any = None) -> None:
        found = _secrets("Basic", users)
        for name, _ in found:
            if ":" in name:
                raise PolicyError(
                    f"Basic(...): the name {shown(name)} has a colon in it, which ends a name (RFC 7617 §2)."
                )
        object.__setattr__(self, "users", found)
        object.__setattr__(self, "user", _header("Basic", "user", user) if user is not None else None)

    def judge(self, request: Watched) -> str | Refused:
        challenge = 'Basic realm="labkit", charset="UTF-8"'
        scheme, _, coded = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            return Refused(401, "this route asks for a name and a password (Authorization: Basic)", challenge)
        try:
            name, colon, password = base64.b64decode(coded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return Refused(401, "Authorization: Basic holds no name and password", challenge)
        known = dict(self.users).get(name)
        right = hmac.compare_digest(password.encode(), (known if known is not None else "\0").encode())
        return name if colon and known is not None and right else Refused(401, "name or password is wrong", challenge)


@dataclass(frozen=True, slots=True, init=False)
class Jwt:
    """A signed token (RFC 7519) as Authorization: Bearer: ``auth=Jwt("a secret of at least 32 bytes ...")``.

    key: the secret that signs (HS256). issuer, audience: what the token has to name, if given. The user is its subject.
    `token` makes one.
    """

    key: str = field(repr=False)
    issuer: str | None
    audience: str | None
    user: str | None

    def __init__(self, key: Any, issuer: Any = None, audience: Any = None, user: Any = None) -> None:
        if not isinstance(key, str) or not encodable(key) or len(key.encode()) < _LEAST_SECRET:
            raise PolicyError(f"Jwt(key=…): the secret is text of at least {_LEAST_SECRET} bytes (RFC 7518 §3.2).")
        for name, value in (("issuer", issuer), ("audience", audience)):
            if value is not None and not (isinstance(value, str) and value and encodable(value)):
                raise PolicyError(f"Jwt({name}={shown(value)}): it is text.")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "user", _header("Jwt", "user", user) if user is not None else None)

    def token(self, subject: str, seconds: float = 3600, **claims: Any) -> str:
        """A token for *subject*, good for *seconds* from now (a negative number: expired), with more *claims*."""
        import time

        import jwt

        now = time.time()
        ours = {"sub": subject, "iat": int(now), "exp": int(now + seconds)}
        ours |= {name: value for name, value in (("iss", self.issuer), ("aud", self.audience)) if value}
        made: str = jwt.encode(ours | claims, self.key, algorithm="HS256")
        return made

    def judge(self, request: Watched) -> str | Refused:
        import jwt

        scheme, _, token = (request.header("authorization") or "").partition(" ")
        if scheme.lower() != "bearer":
            return Refused(401, "this route asks for a token (Authorization: Bearer)", "Bearer")
        try:
            claims = jwt.decode(
                token.strip(),
                self.key,
                algorithms=["HS256"],
                issuer=self.issuer,
                audience=self.audience,
                options={"require": ["exp"], "verify_aud": self.audience is not None, "verify_iat": False},
            )
        except jwt.InvalidAudienceError:
            return Refused(403, "the token is for somebody else (its audience)", _BAD_TOKEN)
        except jwt.InvalidTokenError as error:
            return Refused(401, f"the token is not good: {error}", _BAD_TOKEN)
        subject = str(claims.get("sub", ""))
        if self.user and not _TELLABLE.fullmatch(subject):
            return Refused(401, "the token is for somebody whose name no header field can hold", _BAD_TOKEN)
        return subject


@dataclass(frozen=True, slots=True, init=False)
class ClientCertificate:
    """A certificate that the client showed in the handshake: ``auth=ClientCertificate(["alice"], user="x-user")``.

    names: those that may ask, as the certificate names them (its alternative names of kind DNS); without any, whoever
    has a certificate. The user is the first of the certificate's names that may. Whoever has none, or another name,
    gets 403: no header field could help, so there is nothing to challenge for (RFC 9110 §15.5.2). Asking for
    certificates is the handshake's part: ``l7(tls=Tls(clients="optional"))``, or ``"required"``.
    """

    names: tuple[str, ...]
    user: str | None

    def __init__(self, names: Any = (), user: Any = None) -> None:
        if isinstance(names, str) or not isinstance(names, Iterable):
            raise PolicyError(
                f'ClientCertificate({shown(names)}): it is a list of names, as in ClientCertificate(["alice"]).'
            )
        found = tuple(name.lower() if isinstance(name, str) else name for name in names)
        for name in found:
            if not isinstance(name, str) or not _CERTIFIED.fullmatch(name):
                raise PolicyError(
                    f"ClientCertificate([{shown(name)}]): it is a name in a certificate, such as a host's: alice."
                )
        object.__setattr__(self, "names", found)
        object.__setattr__(self, "user", _header("ClientCertificate", "user", user) if user is not None else None)

    def judge(self, request: Watched) -> str | Refused:
        certified = request.certificate
        if certified is None:
            return Refused(403, "this route asks for a client certificate of the lab's CA, and there is none here")
        known = [name for name in certified if not self.names or name.lower() in self.names]
        if not known:
            whose = ", ".join(certified) or "nobody"
            return Refused(403, f"the client's certificate is for {whose}, who may not ask here")
        return known[0]


def _whose(secrets: Pairs, shown_secret: str) -> str | None:
    """Whose secret it is. All are compared, so that the time tells nothing."""
    found = [name for name, secret in secrets if hmac.compare_digest(secret.encode(), shown_secret.encode())]
    return found[0] if found else None


def _secrets(asker: str, given: object) -> Pairs:
    if isinstance(given, Mapping):
        given = tuple(given.items())
    if not isinstance(given, tuple) or not given or not all(isinstance(one, tuple) and len(one) == 2 for one in given):
        raise PolicyError(f'{asker}(...): it is the user\'s name and the secret, as in {asker}({{"alice": "secret"}}).')
    for name, secret in given:
        for one in (name, secret):
            if not isinstance(one, str) or not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", one):
                raise PolicyError(f"{asker}(...): a user's name and the secret are printable ASCII, and not empty.")
    if len({name for name, _ in given}) < len(given):
        raise PolicyError(f"{asker}(...): a user is named twice: give each one secret.")
    if len({secret for _, secret in given}) < len(given) and asker == "ApiKey":
        raise PolicyError("ApiKey(...): two users have the same key, so none could be told from the other.")
    return given


def _header(asker: str, argument: str, name: object) -> str:
    if not isinstance(name, str) or not TOKEN.fullmatch(name):
        raise PolicyError(f"{asker}({argument}={shown(name)}): it is the name of a header field, such as x-user.")
    if argument == "user":
        check_name(f"{asker}(user={shown(name)})", name)
    return name.lower()
