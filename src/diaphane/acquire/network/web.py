"""DICOMweb (PS3.18): QIDO-RS, WADO-RS and STOW-RS, with dicomweb-client."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from diaphane.acquire.network.finding import LEVELS, Match, Query, as_text
from diaphane.acquire.network.peer import Tls
from diaphane.acquire.network.sending import Delivery, Outgoing
from diaphane.acquire.parsing import parsed
from diaphane.acquire.quiet import quiet
from diaphane.core.errors import MissingExtra, NetworkError, UsageError
from diaphane.core.files import replacing
from diaphane.privacy import Pseudonymiser

_PATH = "Check the path in the address: it often ends in /dicom-web."
_REMEDIES = {
    401: "Set DIAPHANE_WEB_USER and DIAPHANE_WEB_PASSWORD, or DIAPHANE_WEB_TOKEN.",
    403: "Have it allowed there to your user or certificate.",
    404: _PATH,
    405: _PATH,
    413: "It takes no object as large as this one.",
    507: "It is out of room.",
}


def is_web(text: str) -> bool:
    """Whether a peer is given as a DICOMweb address."""
    return text.startswith(("http://", "https://"))


@dataclass(frozen=True)
class Web:
    """A DICOMweb service.

    User and password, or a bearer token, come from ``DIAPHANE_WEB_USER`` and
    ``DIAPHANE_WEB_PASSWORD``, or ``DIAPHANE_WEB_TOKEN``, so that they stand in no list of
    processes; they are sent over TLS and to this machine only.

    Attributes
    ----------
    url:
        Up to and without ``/studies``.
    tls:
        Certificates where the service asks for one.
    timeout:
        Seconds for each answer.
    """

    url: str
    tls: Tls | None = None
    timeout: float = 30.0

    def find(self, query: Query, limit: int = 1000) -> list[Match]:
        """Matches (QIDO-RS), as :func:`diaphane.acquire.network.find` gives them.

        Raises
        ------
        UsageError, NetworkError
            The query is wrong; the service cannot be reached or refuses.
        """
        query.check()
        keys = dict(query.keys)
        fields = [keyword for keyword in LEVELS[query.level] if keyword not in keys]
        parents = [keys.pop(k, "") for k in ("StudyInstanceUID", "SeriesInstanceUID")]
        more = {"search_filters": keys, "limit": limit, "fields": fields}
        with self._client() as client, self._errors():
            if query.level == "study":
                if parents[0]:
                    keys["StudyInstanceUID"] = parents[0]
                answers = client.search_for_studies(**more)
            elif query.level == "series":
                answers = client.search_for_series(parents[0], **more)
            else:
                answers = client.search_for_instances(*parents, **more)
        from pydicom.dataset import Dataset

        with quiet():
            return [as_text(Dataset.from_json(answer)) for answer in answers]

    def fetch(
        self, query: Query, out: Path, told: Callable[[int], None] = lambda _: None
    ) -> list[Path]:
        """Get objects (WADO-RS); written by pydicom, all values as they came.

        Raises
        ------
        UsageError, NetworkError, OutputError
            No study is named; the service cannot, or breaks off; nothing can be written.
        """
        study, series = (query.keys.get(k, "") for k in ("StudyInstanceUID", "SeriesInstanceUID"))
        if not study:
            raise UsageError("Say which study: StudyInstanceUID=UID.")
        names = Pseudonymiser.load()
        folder = out / names.pseudonym(study, "study")
        every = (("application/dicom", "*"),)
        written = []
        with self._client() as client, self._errors(), quiet():
            objects = (
                client.iter_series(study, series, media_types=every)
                if series
                else client.iter_study(study, media_types=every)
            )
            for data in objects:
                path = folder / f"{names.pseudonym(str(data.SOPInstanceUID), 'case')}.dcm"
                with replacing(path) as beside:
                    data.save_as(beside, enforce_file_format=True)
                written.append(path)
                told(len(written))
        return written

    def send(
        self, files: Sequence[Outgoing], told: Callable[[Delivery], None] = lambda _: None
    ) -> list[Delivery]:
        """Store objects (STOW-RS), one a request.

        Raises
        ------
        NetworkError
            The service cannot be reached; what ``told`` heard of is there.
        """
        deliveries = []
        with self._client() as client:
            for file in files:
                with self._errors(), quiet():
                    answer = client.store_instances([parsed(file.path, pixels=True)])
                kept = {
                    str(i.ReferencedSOPInstanceUID) for i in answer.get("ReferencedSOPSequence", ())
                }
                problem = None if file.sop_instance in kept else "the service does not keep it"
                deliveries.append(Delivery(file, problem))
                told(deliveries[-1])
        return deliveries

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        try:
            import requests
            from dicomweb_client import DICOMwebClient
        except ImportError as error:
            raise MissingExtra("DICOMweb", "dicomweb-client", "serve") from error
        logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL + 1)  # it quotes UIDs
        parts = urlsplit(self.url)
        user, token = os.environ.get("DIAPHANE_WEB_USER"), os.environ.get("DIAPHANE_WEB_TOKEN")
        local = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if (user or token) and parts.scheme != "https" and not local:
            raise UsageError(
                "The password or token would travel in the clear.", remedy="Use an https address."
            )

        class Session(requests.Session):
            """Wild cards travel as they are, which Orthanc needs and RFC 3986 allows."""

            def send(self, request: Any, **more: Any) -> Any:
                request.url = request.url.replace("%2A", "*")
                return super().send(request, **more)

        with Session() as session:
            if user:
                session.auth = (user, os.environ.get("DIAPHANE_WEB_PASSWORD", ""))
            if token:
                session.headers["Authorization"] = f"Bearer {token}"
            if self.tls is not None:
                session.cert = (str(self.tls.certificate), str(self.tls.key))
                session.verify = str(self.tls.authority)
            client = DICOMwebClient(self.url.rstrip("/"), session=session, timeout=self.timeout)
            # A busy service is asked again after 1 and 2 s; a wrong address need not wait for 30.
            client.set_http_retry_params(max_attempts=3, wait_exponential_multiplier=500)
            yield client

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Errors name the service, never what was asked of it."""
        import requests

        try:
            yield
        except requests.HTTPError as error:
            code = 0 if error.response is None else error.response.status_code
            raise NetworkError(
                f"{self.url}: the service refuses (HTTP {code or '?'}).",
                remedy=_REMEDIES.get(code, "Its log says why."),
            ) from error
        except requests.exceptions.SSLError as error:
            raise NetworkError(
                f"{self.url}: no connection with TLS.",
                remedy="Give as --tls-ca what its certificate is signed by, and the --tls-cert "
                "that it trusts.",
            ) from error
        except requests.ConnectionError as error:
            raise NetworkError(
                f"{self.url}: nobody answers there.",
                remedy="Check the address, the network, and whether it runs.",
            ) from error
        except requests.RequestException as error:
            raise NetworkError(
                f"{self.url}: no answer ({type(error).__name__}).",
                remedy="Check the address, or give it longer with --timeout.",
            ) from error
        except ValueError as error:
            raise NetworkError(f"{self.url}: the answer cannot be understood.") from error
