from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pydantic import SecretStr

from biomedica_ray import backoff
from biomedica_ray.enrich.client import Eutils, EutilsError
from tests.fakes.eutils import KEY, eutils_server


@dataclass
class Leave:
    """Gives leave at once, and remembers what it was asked."""

    calls: int = 0
    pauses: list[float] = field(default_factory=list)

    def acquire(self) -> None:
        self.calls += 1

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "LONGEST_WAIT_S", 0.01)


def service(url: str, key: str | None = None, **settings: float) -> Eutils:
    return Eutils(url, "somebody@example.org", SecretStr(key) if key else None, **settings)  # type: ignore[arg-type]


def test_one_call_gives_200_records() -> None:
    pmids = [str(number) for number in range(1, 201)]
    with eutils_server(unknown=frozenset({"7"})) as server:
        records = service(server.url).fetch(pmids, Leave())
    assert sorted(records, key=int) == [pmid for pmid in pmids if pmid != "7"]
    assert [heading.descriptor for heading in records["12"].mesh_headings] == ["Heading 12"]
    (call,) = server.calls
    assert (call.fields["tool"], call.fields["email"]) == ("biomedica_ray", "somebody@example.org")
    assert "api_key" not in call.fields


@pytest.mark.parametrize("fault", ["500", "503", "429", "truncate", "cut", "error", "hang"])
def test_a_passing_fault_is_tried_again(fault: str) -> None:
    leave = Leave()
    with eutils_server(100, spoil=lambda n, _: fault if n < 2 else None) as server:
        records = service(server.url, timeout_s=0.5).fetch(["1", "2"], leave)
    assert sorted(records) == ["1", "2"]
    assert len(server.calls) == leave.calls == 3


def test_a_lasting_fault_is_given_up_and_told() -> None:
    with eutils_server(100, spoil=lambda *_: "503") as server, pytest.raises(EutilsError, match="HTTP 503") as caught:
        service(server.url).fetch(["1"], Leave())
    assert (caught.value.kind, caught.value.attempts, len(server.calls)) == ("unavailable", 6, 6)


@pytest.mark.parametrize(("retry_after", "pause"), [(None, 1.0), ("7", 7.0), ("100000", 600.0)])
def test_a_server_that_asks_for_a_pause_gets_it(retry_after: str | None, pause: float) -> None:
    leave = Leave()
    with eutils_server(100, spoil=lambda n, _: None if n else "429", retry_after=retry_after) as server:
        service(server.url).fetch(["1"], leave)
    assert leave.pauses == [pause]


def test_the_key_goes_with_calls_and_into_no_message() -> None:
    with eutils_server() as server:
        assert set(service(server.url, KEY).fetch(["1"], Leave())) == {"1"}
        assert server.calls[0].fields["api_key"] == KEY
        with pytest.raises(EutilsError) as refused:
            service(server.url, "wrong-key-0123").fetch(["1"], Leave())
    assert refused.value.kind == "refused"
    with eutils_server(100, spoil=lambda *_: "error") as server, pytest.raises(EutilsError) as caught:
        service(server.url, KEY).fetch(["1"], Leave())
    for text in (str(refused.value), str(caught.value), repr(service("http://x", KEY))):
        assert "wrong-key" not in text
        assert KEY not in text
    assert "api_key=***" in str(caught.value)
