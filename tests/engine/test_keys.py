"""Keys: how they are made, and who a presented one belongs to; also while the store is down."""

import asyncio
import gc
import math

import pytest

from gateway_async.config import KeyConfig
from gateway_async.errors import ConfigError, Unauthenticated, Unavailable
from gateway_async.keys import key as keys
from gateway_async.keys import ring as key_ring
from gateway_async.keys.key import digest_of, from_stored, hint_of, is_ours, make_key, presented
from gateway_async.keys.ring import KeyRing
from gateway_async.server_config import Role
from gateway_async.stores.base import StoredKey
from tests.support.tasks import others_done

NOW = 1_800_000_000.0


class Store:
    """A `KeyStore` whose answers a test decides.

    Attributes:
        kept: The keys.
        asked: The hashes that it was asked for, and `all`.
        down: It does not answer.
        gate: It answers when this is set.
        came: Set when it is asked.
    """

    def __init__(self, *kept: StoredKey) -> None:
        self.kept = list(kept)
        self.asked: list[bytes | str] = []
        self.down = False
        self.gate: asyncio.Event | None = None
        self.came = asyncio.Event()

    async def find(self, digest: bytes) -> StoredKey | None:
        await self._asked(digest)
        return next((key for key in self.kept if digest in (key.digest, key.old_digest)), None)

    async def all(self) -> list[StoredKey]:
        await self._asked("all")
        return self.kept

    async def _asked(self, what: bytes | str) -> None:
        self.asked.append(what)
        self.came.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise Unavailable("the store is down")


def stored(key: str, name: str = "app", **more: object) -> StoredKey:
    """What the store keeps of a key."""
    usual = {"role": "caller", "routes": None, "created": NOW - 10}
    return StoredKey(name=name, digest=digest_of(key.encode()), hint=hint_of(key), **{**usual, **more})  # type: ignore[arg-type] # whatever a test wants


class Ring(KeyRing):
    """A ring whose revision and time a test decides."""

    def __init__(self, store: Store | None = None) -> None:
        self.version = 1
        self.now = NOW
        super().__init__(store, revision=lambda: self.version, clock=lambda: self.now)  # type: ignore[arg-type] # it changes nothing


async def of(ring: KeyRing, key: str) -> str | None:
    """The name of a key."""
    found = await ring.find(key.encode())
    return None if found is None else found.name


def test_a_key_is_recognised_and_tells_garbage_apart() -> None:
    """By its prefix and a checksum: what is mistyped or cut short is not asked about."""
    made = {make_key() for _ in range(100)}

    assert len(made) == 100
    for key in made:
        assert key.startswith("gwk_")
        assert is_ours(key.encode())
        assert not is_ours(key[:-1].encode())
        assert not is_ours(key.encode() + b"x")
        for at in (4, 20, len(key) - 1):
            other = "A" if key[at] != "A" else "B"
            assert not is_ours((key[:at] + other + key[at + 1 :]).encode())
    for text in (b"", b"none", b"gwk_", b"sk-0123456789", b"\xff" * 53, b"gwk_" + b"A" * 49):
        assert not is_ours(text)


def test_a_hint_gives_a_guesser_nothing() -> None:
    """Four characters of 43."""
    assert len(hint_of(make_key())) == 8


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({b"authorization": b"Bearer  abc "}, (b"abc", "Authorization")),
        ({b"authorization": b"bearer abc"}, (b"abc", "Authorization")),
        ({b"authorization": b"Basic abc"}, None),
        ({b"authorization": b"Basic abc", b"api-key": b"mine"}, (b"mine", "api-key")),
        ({b"authorization": b"Bearer ", b"x-api-key": b"mine"}, (b"mine", "x-api-key")),
        ({b"x-api-key": b"", b"api-key": b"mine"}, (b"mine", "api-key")),
        ({b"authorization": b"Bearer abc", b"x-api-key": b"mine"}, (b"abc", "Authorization")),
        ({b"api-key": b"\xff\x00"}, (b"\xff\x00", "api-key")),
    ],
)
def test_a_key_is_taken_from_the_first_header_that_has_one(
    headers: dict[bytes, bytes], expected: tuple[bytes, str] | None
) -> None:
    """A bearer's, then `x-api-key`, then `api-key`; what other schemes send in `Authorization` is none."""
    assert presented(headers) == expected


async def test_the_configuration_s_keys_and_the_environment_s_open() -> None:
    """Each with its name, its role and its routes; and a changed configuration replaces them."""
    ring = Ring()
    file = [
        KeyConfig(name="ci", key="key-of-the-file-1", routes=["chat"]),
        KeyConfig(name="boss", key="key-of-the-file-2", role=Role.ADMIN),
    ]
    ring.configure(file, "key-of-the-environment")

    ci, boss = await ring.find(b"key-of-the-file-1"), await ring.find(b"key-of-the-file-2")
    environment = await ring.find(b"key-of-the-environment")
    assert ci is not None
    assert boss is not None
    assert environment is not None
    assert (ci.name, ci.admin, ci.routes) == ("ci", False, frozenset({"chat"}))
    assert (boss.name, boss.admin, boss.routes) == ("boss", True, None)
    assert (environment.name, environment.admin) == ("GATEWAY_ADMIN_KEY", True)

    ring.configure(file[:1], None)
    assert await of(ring, "key-of-the-file-1") == "ci"
    assert await of(ring, "key-of-the-file-2") is None
    assert await of(ring, "key-of-the-environment") is None


def test_an_admin_s_key_that_can_be_guessed_is_refused() -> None:
    """The error names the variable, and does not repeat the key."""
    with pytest.raises(ConfigError, match="GATEWAY_ADMIN_KEY") as refused:
        Ring().configure([], "hunter2")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("role", "routes", "said"), [("caller", [], "opens nothing"), ("admin", ["chat"], "all")]
)
def test_a_key_of_the_file_is_for_routes_as_one_of_the_api(role: str, routes: list[str], said: str) -> None:
    """For some, or for all; an admin's is for all."""
    with pytest.raises(ValueError, match=said):
        KeyConfig.model_validate(
            {"name": "ci", "key": "configured-key-012345", "role": role, "routes": routes}
        )


async def test_a_stored_key_is_asked_for_once_until_the_store_changes() -> None:
    """Every request after the first is answered from memory; a change is seen at the next."""
    key = make_key()
    store = Store(stored(key))
    ring = Ring(store)

    assert [await of(ring, key) for _ in range(3)] == ["app"] * 3
    assert ring.known(digest_of(key.encode())) is not None
    assert len(store.asked) == 1

    store.kept = [stored(key, revoked=NOW)]
    assert await of(ring, key) == "app"
    ring.version += 1
    with pytest.raises(Unauthenticated, match="'app' was revoked"):
        await of(ring, key)
    assert len(store.asked) == 2


async def test_an_unknown_key_is_asked_for_once_until_the_store_changes() -> None:
    """And one that was made meanwhile opens then."""
    key = make_key()
    store = Store()
    ring = Ring(store)

    assert [await of(ring, key) for _ in range(3)] == [None] * 3
    assert len(store.asked) == 1

    store.kept = [stored(key)]
    ring.version += 1
    assert await of(ring, key) == "app"


async def test_what_can_be_no_key_of_ours_is_not_asked_for() -> None:
    """Garbage costs the store nothing."""
    store = Store()
    ring = Ring(store)

    for garbage in ("none", "sk-proj-0123456789", make_key()[:-1], "gwk_" + "A" * 49):
        assert await of(ring, garbage) is None
    assert store.asked == []


async def test_a_key_ends_when_it_expires() -> None:
    """Also one that is remembered."""
    key = make_key()
    ring = Ring(Store(stored(key, expires=NOW + 60)))

    assert await of(ring, key) == "app"
    ring.now += 60
    with pytest.raises(Unauthenticated, match="'app' has expired"):
        await of(ring, key)
    with pytest.raises(Unauthenticated, match="expired"):
        ring.known(digest_of(key.encode()))


async def test_after_a_rotation_both_keys_open_for_a_while() -> None:
    """Then the old one ends, and the new one goes on."""
    old, new = make_key(), make_key()
    ring = Ring(Store(stored(new, old_digest=digest_of(old.encode()), old_until=NOW + 60)))

    assert (await of(ring, old), await of(ring, new)) == ("app", "app")
    ring.now += 61
    assert await of(ring, new) == "app"
    with pytest.raises(Unauthenticated, match="was replaced by a newer one"):
        await of(ring, old)


def test_the_soonest_end_counts() -> None:
    """A replaced key does not outlive its own expiry, and neither of the two a revocation."""
    old, new = make_key(), make_key()
    digest = digest_of(old.encode())
    both = stored(new, old_digest=digest, old_until=NOW + 60, expires=NOW + 10)

    assert from_stored(both, digest).until == NOW + 10
    revoked = stored(new, old_digest=digest, old_until=NOW + 60, revoked=NOW)
    assert from_stored(revoked, digest).until == 0
    assert from_stored(revoked, revoked.digest).until == 0
    assert from_stored(stored(new), digest_of(new.encode())).until == math.inf


async def test_while_the_store_is_down_what_it_said_last_holds() -> None:
    """A key that was good stays good until it expires, one that was revoked stays revoked."""
    good, short, gone = make_key(), make_key(), make_key()
    store = Store(stored(good), stored(short, "short", expires=NOW + 60), stored(gone, "gone", revoked=NOW))
    ring = Ring(store)
    assert (await of(ring, good), await of(ring, short)) == ("app", "short")
    with pytest.raises(Unauthenticated):
        await of(ring, gone)

    store.down = True
    ring.version += 1

    assert (await of(ring, good), await of(ring, short)) == ("app", "short")
    with pytest.raises(Unauthenticated, match="revoked"):
        await of(ring, gone)
    ring.now += 61
    with pytest.raises(Unauthenticated, match="expired"):
        await of(ring, short)


async def test_a_key_that_was_never_seen_is_not_refused_while_the_store_is_down() -> None:
    """Nobody knows whether it is good: 503, not 401; and it opens as soon as the store is back."""
    key = make_key()
    store = Store(stored(key))
    store.down = True
    ring = Ring(store)

    for _ in range(3):
        with pytest.raises(Unavailable) as refused:
            await of(ring, key)
        assert refused.value.retry_after
    assert await of(ring, "none") is None
    assert len(store.asked) == 1, "a store that is down is left alone for a moment"

    store.down = False
    async with asyncio.timeout(30):
        while True:
            try:
                assert await of(ring, key) == "app"
                break
            except Unavailable:
                await asyncio.sleep(0.05)


async def test_a_store_that_does_not_answer_holds_up_no_request_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One question is under way, nobody else asks, and those who wait give up; what comes late is remembered."""
    monkeypatch.setattr(key_ring, "PATIENCE_SECONDS", 0.05)
    known, others = make_key(), [make_key() for _ in range(20)]
    store = Store(stored(known), *(stored(key, f"n{n}") for n, key in enumerate(others)))
    ring = Ring(store)
    await of(ring, known)
    store.gate = asyncio.Event()
    ring.version += 1

    assert await of(ring, known) == "app"
    told = await asyncio.gather(*(of(ring, key) for key in others), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in told)
    assert len(store.asked) == 2, "the first time, and the one that hangs"

    store.gate.set()
    await others_done()
    assert ring.known(digest_of(known.encode())) is not None


async def test_requests_with_one_new_key_ask_once() -> None:
    """However many come together, and also when the first of them leaves."""
    key = make_key()
    store = Store(stored(key))
    store.gate = asyncio.Event()
    ring = Ring(store)
    asking = [asyncio.create_task(of(ring, key)) for _ in range(50)]
    await store.came.wait()

    asking[0].cancel()
    await asyncio.sleep(0)
    store.gate.set()

    assert await asyncio.gather(*asking[1:]) == ["app"] * 49
    assert len(store.asked) == 1


async def test_what_is_asked_ends_with_the_ring() -> None:
    """The store is let go of next: nothing may take hold of it again. Nobody is told that its key is none."""
    store = Store()
    store.gate = asyncio.Event()
    ring = Ring(store)
    asking = asyncio.create_task(of(ring, make_key()))
    await store.came.wait()

    await ring.aclose()

    with pytest.raises(Unavailable):
        await asking
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_keys_that_somebody_makes_up_leave_the_store_time_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are asked for a few at a time; nobody takes the store for one that is down, and known keys pass by them."""
    monkeypatch.setattr(key_ring, "PATIENCE_SECONDS", 0.05)
    known = make_key()
    store = Store(stored(known))
    ring = Ring(store)
    await of(ring, known)
    store.gate, find = asyncio.Event(), store.find

    async def find_at_once(digest: bytes) -> StoredKey | None:
        return stored(known, revoked=NOW) if digest == digest_of(known.encode()) else await find(digest)

    store.find = find_at_once  # type: ignore[method-assign] # a store that is busy with strangers only
    told = await asyncio.gather(*(of(ring, make_key()) for _ in range(50)), return_exceptions=True)
    assert all(isinstance(each, Unavailable) for each in told)
    assert len(store.asked) == 1 + key_ring.STRANGERS_AT_ONCE

    ring.version += 1
    with pytest.raises(Unauthenticated, match="revoked"):
        await of(ring, known)
    store.gate.set()
    await others_done()
    assert len(store.asked) == 1 + key_ring.STRANGERS_AT_ONCE, "who gave up is not asked for"


async def test_who_knows_of_a_change_is_not_content_with_an_answer_from_before() -> None:
    """A key that was revoked while somebody asked for it opens nothing after the revocation, once it was acknowledged."""
    key = make_key()
    before, store = stored(key), Store()
    ring = Ring(store)
    answers: list[asyncio.Future[StoredKey]] = []

    async def find(digest: bytes) -> StoredKey:
        answers.append(asyncio.get_running_loop().create_future())
        store.came.set()
        return await answers[-1]

    store.find = find  # type: ignore[method-assign] # it answers when the test says
    first = asyncio.create_task(of(ring, key))
    await store.came.wait()
    store.came.clear()
    ring.version += 1
    second = asyncio.create_task(of(ring, key))
    await store.came.wait()

    answers[1].set_result(stored(key, revoked=NOW))
    with pytest.raises(Unauthenticated, match="revoked"):
        await second
    answers[0].set_result(before)
    with pytest.raises(Unauthenticated, match="revoked"):
        await first
    third = asyncio.create_task(of(ring, key))
    while len(answers) < 3:  # noqa: ASYNC110 - the late answer was from before, so it is asked again
        await asyncio.sleep(0)
    answers[2].set_result(stored(key, revoked=NOW))
    with pytest.raises(Unauthenticated, match="revoked"):
        await third


async def test_a_store_that_fails_in_its_own_way_is_one_that_is_down(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A known key is not refused for it, and the log says what happened."""
    key = make_key()
    store = Store(stored(key))
    ring = Ring(store)
    await of(ring, key)

    async def broken(digest: bytes) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(store, "find", broken)
    ring.version += 1

    assert await of(ring, key) == "app"
    assert "the store of keys failed" in caplog.text


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least used goes first; unknown keys, which anybody can make up, push out no known ones."""
    monkeypatch.setattr(key_ring, "MOST_KEYS", 3)
    mine = [make_key() for _ in range(4)]
    store = Store(*(stored(key, f"k{number}") for number, key in enumerate(mine)))
    ring = Ring(store)
    for key in mine[:3]:
        await of(ring, key)
    await of(ring, mine[0])
    await of(ring, mine[3])
    for _ in range(10):
        await of(ring, make_key())

    held = [ring.known(digest_of(key.encode())) is not None for key in mine]
    assert held == [True, False, True, True]
    assert len(ring._unknown) == 3


async def test_no_key_is_held_in_clear() -> None:
    """Nowhere in what a ring refers to, at any depth."""
    key, configured, admin, wrong = make_key(), "configured-key-012345", "environment-key-012345", make_key()
    ring = Ring(Store(stored(key)))
    ring.configure([KeyConfig(name="ci", key=configured)], admin)
    for each in (key, configured, admin, wrong, "none-at-all"):
        await of(ring, each)

    secrets = {key, configured, admin, wrong, "none-at-all"}
    secrets |= {text[4:40] for text in (key, wrong)}
    seen: set[int] = set()
    held: set[object] = set()
    todo: list[object] = [ring]
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type) or hasattr(thing, "f_code"):
            continue
        seen.add(id(thing))
        if isinstance(thing, str | bytes):
            text = thing if isinstance(thing, str) else thing.decode("latin-1")
            assert not any(secret in text for secret in secrets)
            held.add(thing)
        if type(thing).__module__.startswith(("gateway_async", __name__)) or isinstance(
            thing, dict | list | tuple | set | frozenset
        ):
            todo += gc.get_referents(thing)
    assert {digest_of(text.encode()) for text in (key, configured, admin)} <= held
    assert "digest" not in repr(ring.own)


async def test_every_wrong_key_is_looked_up_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its whole hash, whatever of it is right; and what is found is compared in constant time."""
    key = make_key()
    store = Store(stored(key))
    ring = Ring(store)
    ring.configure([KeyConfig(name="ci", key="configured-key-012345")], None)
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(keys, "compare_digest", compare)
    for wrong in ("configured-key-012346", "configured-key-01234", "xonfigured-key-012345"):
        assert await of(ring, wrong) is None
    assert all(len(one) != 32 for one, _ in compared), "no hash was compared: none was found"

    assert await of(ring, "configured-key-012345") == "ci"
    assert compared[-1] == (digest_of(b"configured-key-012345"),) * 2


async def test_a_key_for_callers_closes_the_gateway_for_good() -> None:
    """One of the configuration, or one that ever was in the store; an admin's does not."""
    ring = Ring()
    ring.configure([], "key-of-the-environment")
    assert ring.for_callers is False
    ring.configure([KeyConfig(name="ci", key="configured-key-012345")], None)
    assert ring.for_callers is True

    store = Store(stored(make_key(), "admin", role="admin"))
    ring = Ring(store)
    assert ring.for_callers is None
    assert await ring.look() is False
    assert ring.for_callers is False
    assert await ring.look() is False
    assert store.asked == ["all"]

    store.kept.append(stored(make_key(), revoked=NOW))
    ring.version += 1
    assert ring.for_callers is None
    assert await ring.look() is True
    store.kept.clear()
    ring.version += 1
    assert ring.for_callers is True


async def test_whether_a_gateway_is_closed_is_not_guessed_while_the_store_is_down() -> None:
    """Before the store ever answered: 503. Afterwards what it said last holds."""
    store = Store()
    store.down = True
    ring = Ring(store)
    with pytest.raises(Unavailable):
        await ring.look()

    ring = Ring(store)
    store.down = False
    assert await ring.look() is False
    store.down = True
    ring.version += 1
    assert await ring.look() is False


def test_a_ring_serves_one_loop_after_the_other() -> None:
    """A question that a loop took with it when it ended is asked again."""
    key = make_key()
    store = Store(stored(key))
    ring = Ring(store)

    async def leave() -> None:
        store.gate = asyncio.Event()
        asking = asyncio.create_task(of(ring, key))
        await store.came.wait()
        asking.cancel()

    asyncio.run(leave())
    store.gate = None
    assert asyncio.run(of(ring, key)) == "app"
