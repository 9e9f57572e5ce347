"""The certificate authority of one lab: a root of its own, and certificates for who ends TLS, and for who begins it.

Made when first needed and kept in memory alone; whoever serves or verifies is handed PEM text. Elliptic keys (P-256),
because one takes a tenth of a millisecond. Extensions follow RFC 5280 §4.2: Python 3.13 refuses a root without them.
Serving and verifying are left to traffic and balancer. `cryptography` is imported when the first one is made.
"""

import datetime
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from labkit.topology import Interface, Node, Topology

_BEFORE = datetime.timedelta(hours=1)
_LONGEST = 64  # characters of a common name (RFC 5280, appendix A.1)
_VALID = datetime.timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its private key, as PEM text."""

    chain: str
    key: str


class Authority:
    """Signs for the nodes of *topology*. Thread-safe; everything is made once.

    The balancer's certificate names the VIP: ``lb``, ``ip6-lb`` and its addresses. A backend's names itself and the
    VIP, so that ``https://lb/`` verifies at whichever backend a forwarded connection ends.
    """

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._lock = threading.Lock()
        self._root: _Issuer | None = None
        self._made: dict[str, Certificate] = {}

    def settle(self, topology: Topology) -> None:
        """The nodes have other addresses now: what names some is made anew."""
        with self._lock:
            self._topology = topology
            for node in topology.nodes:
                self._made.pop(node.name, None)

    def trust(self) -> str:
        """The root certificate, as PEM text: what clients trust."""
        with self._lock:
            return self._issuer().pem

    def certificate(self, name: str) -> Certificate:
        """The certificate of the node called *name*; KeyError if there is none."""
        with self._lock:
            if name not in self._made:
                self._made[name] = self._issuer().sign(name, *subjects(self._topology, name))
            return self._made[name]

    def named(self, host: str) -> list[str]:
        """What a proxy needs for a further name of the VIP, and no other: [certificate, key] as PEM text."""
        return self._pair(f"host {host}", lambda issuer: issuer.sign(host, [host], ()))

    def client(self, name: str) -> list[str]:
        """What the node *name* shows as a client: [certificate, key] as PEM text; it names the node, and no address."""
        return self._pair(f"client {name}", lambda issuer: issuer.sign(name, [name], (), client=True))

    def _pair(self, key: str, make: "Callable[[_Issuer], Certificate]") -> list[str]:
        with self._lock:
            if key not in self._made:
                self._made[key] = make(self._issuer())
            return [self._made[key].chain, self._made[key].key]

    def serving(self, name: str) -> list[str]:
        """What a server of the node *name* needs: [certificate, key] as PEM text."""
        certificate = self.certificate(name)
        return [certificate.chain, certificate.key]

    def identity(self, name: str) -> list[str]:
        """What a proxy in the node *name* needs: [certificate, key, root] as PEM text."""
        return [*self.serving(name), self.trust()]

    def _issuer(self) -> "_Issuer":
        if self._root is None:
            self._root = _Issuer(f"labkit CA of the lab {self._topology.name}"[:_LONGEST])
        return self._root


def subjects(topology: Topology, name: str) -> tuple[list[str], list[Any]]:
    """Host names and addresses that the certificate of the node *name* is good for: its own first, then the VIP's."""
    node, balancer = topology.node(name), topology.balancer
    vip = balancer.interfaces[:1]
    served: list[tuple[Node, Iterable[Interface]]] = [(balancer, vip)]
    if node.role != "balancer":
        served.insert(0, (node, node.interfaces))
    names = [host for each, _ in served for host in (each.name, f"ip6-{each.name}")]
    pairs = ((interface.address4, interface.address6) for _, interfaces in served for interface in interfaces)
    return names, [address.ip for pair in pairs for address in pair if address]


class _Issuer:
    """A self-signed root with its key."""

    def __init__(self, common_name: str) -> None:
        from cryptography import x509

        self._key = _new_key()
        self._name = _named(common_name)
        usage = _usage(key_cert_sign=True, crl_sign=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
        extensions = [(x509.BasicConstraints(ca=True, path_length=0), True), (usage, True), (identifier, False)]
        self._certificate = self._signed(self._name, self._key, extensions)
        self.pem = _pem(self._certificate)

    def sign(
        self, common_name: str, names: Iterable[str], addresses: Iterable[Any], client: bool = False
    ) -> Certificate:
        """A certificate for all of *names* and *addresses*, with a new key: for a server, or else for a *client*."""
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = _new_key()
        purpose = x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH if client else x509.oid.ExtendedKeyUsageOID.SERVER_AUTH
        alternatives = [*map(x509.DNSName, names), *map(x509.IPAddress, addresses)]
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.ExtendedKeyUsage([purpose]), False),
            (x509.SubjectAlternativeName(alternatives), False),
            (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
            (self._authority, False),
        ]
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Certificate(_pem(self._signed(_named(common_name[:_LONGEST]), key, extensions)), private.decode())

    def _signed(self, subject: Any, key: Any, extensions: Iterable[tuple[Any, bool]]) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives.hashes import SHA256

        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder(subject_name=subject, issuer_name=self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + _VALID)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, SHA256())


def _new_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

    return generate_private_key(SECP256R1())


def _named(common_name: str) -> Any:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common_name)])


def _usage(**purposes: bool) -> Any:
    from cryptography import x509

    names = "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign"
    nothing = dict.fromkeys([*names.split(), "crl_sign", "encipher_only", "decipher_only"], False)
    return x509.KeyUsage(**{**nothing, **purposes})


def _pem(certificate: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    pem: bytes = certificate.public_bytes(Encoding.PEM)
    return pem.decode()
