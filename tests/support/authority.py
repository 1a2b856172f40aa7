"""Certificates for servers of tests."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path


class Authority:
    """A certificate authority made with the openssl command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "req.cnf").write_text("[req]\ndistinguished_name = dn\n[dn]\n")
        self.bundle = str(folder / "ca.pem")
        self._make("ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")

    def server_context(self, host: str, seen: list[str | None]) -> ssl.SSLContext:
        """Context of a server with a certificate for `host`; adds the names that clients ask for (SNI) to `seen`."""
        pem = self._folder / f"{host}.pem"
        if not pem.exists():
            self._make(
                host,
                f"subjectAltName={'IP' if host[0].isdigit() else 'DNS'}:{host}",
                "basicConstraints=critical,CA:FALSE",
                "keyUsage=critical,digitalSignature",
                "extendedKeyUsage=serverAuth",
                "authorityKeyIdentifier=keyid",
                signed=True,
            )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem, self._folder / f"{host}.key")

        def note(sock: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            seen.append(name)

        context.sni_callback = note
        return context

    def _make(self, name: str, *extensions: str, signed: bool = False) -> None:
        command = "openssl req -x509 -config req.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650"
        files = f"-subj /CN={name} -keyout {name}.key -out {name}.pem"
        issuer = "-CA ca.pem -CAkey ca.key" if signed else ""
        added = [part for extension in (*extensions, "subjectKeyIdentifier=hash") for part in ("-addext", extension)]
        line = [*command.split(), *files.split(), *issuer.split(), *added]
        subprocess.run(line, cwd=self._folder, check=True, capture_output=True)
