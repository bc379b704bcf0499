"""Any story: whatever is done to a bucket, and wherever the process dies, the store holds what the
reference model says; a call that was cut off has happened wholly, or not at all.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from pycloud import limits
from pycloud.errors import NotFound, PreconditionFailed, TooSmall
from pycloud.storage.records import PartChoice, Versioning
from tests.storage.reference import BUCKET, NEW, Model, MortalStore

KEYS = st.sampled_from(["a/b", "a/c/d", "a", "é/"])
SIZES = st.sampled_from([20_000, limits.SMALL_OBJECT_BYTES + 1, limits.SMALL_OBJECT_BYTES, 3, 0])
CRASH = st.one_of(st.none(), st.none(), st.integers(0, 8))
WHICH = st.integers(0, 9)


class Story(RuleBasedStateMachine):
    """One bucket, its model, and processes that come and go."""

    @initialize(is_versioned=st.booleans())
    def begin(self, is_versioned: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pycloud-story-"))
        self.part_min, limits.PART_MIN_BYTES = limits.PART_MIN_BYTES, 40_000  # type: ignore[misc]
        self.process = MortalStore(self.folder)
        self.model = Model()
        self.written = self.done = 0
        if is_versioned:
            self.model.versioning = Versioning.ENABLED
            self.process.store.set_versioning(BUCKET, Versioning.ENABLED)
        # Something to begin with: stories that only write their first objects are short ones.
        for key in ("a/b", "a/c/d"):
            self.put(key, 20_000, None)
        self.begin_upload("a", None)
        self.put_part(0, 1, True, None)
        self.put_part(0, 2, False, None)

    @rule(key=KEYS, size=SIZES, crash=CRASH)
    def put(self, key: str, size: int, crash: int | None) -> None:
        content = self._content(size)
        after = self.model.copy()
        after.put(key, content)
        self._do(
            lambda: self.process.store.put(BUCKET, key, self.process.stream(content)), after, crash
        )

    @precondition(lambda self: self.done % 2 == 1)
    @rule(key=KEYS, crash=CRASH)
    def put_if_none_is_there(self, key: str, crash: int | None) -> None:
        content = self._content(20_000)
        after = self.model.copy()
        if self.model.current(key) is None:
            after.put(key, content)

        def act() -> None:
            try:
                self.process.store.put(BUCKET, key, self.process.stream(content), if_none_match="*")
            except PreconditionFailed:
                assert self.model.current(key) is not None
            else:
                assert self.model.current(key) is None

        self._do(act, after, crash)

    @rule(key=KEYS, crash=CRASH)
    def delete(self, key: str, crash: int | None) -> None:
        after = self.model.copy()
        after.delete(key)
        self._do(lambda: self.process.store.delete(BUCKET, key), after, crash)

    @rule(key=KEYS, which=WHICH, crash=CRASH)
    def delete_version(self, key: str, which: int, crash: int | None) -> None:
        versions = self.model.objects.get(key, [])
        if not versions:
            return
        version = versions[which % len(versions)].id
        assert version is not None
        after = self.model.copy()
        after.delete_version(key, version)
        self._do(lambda: self.process.store.delete(BUCKET, key, version_id=version), after, crash)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=4), crash=CRASH)
    def delete_many(self, keys: list[str], crash: int | None) -> None:
        after = self.model.copy()
        for key in keys:
            after.delete(key)
        wanted = [(key, None) for key in keys]
        self._do(lambda: self.process.store.delete_many(BUCKET, wanted), after, crash)

    @rule(source=KEYS, key=KEYS, crash=CRASH, algorithm=st.sampled_from([None, None, "CRC32"]))
    def copy(self, source: str, key: str, crash: int | None, algorithm: str | None) -> None:
        content = self.model.current(source)
        after = self.model.copy()
        if content is not None:
            after.put(key, content)

        def act() -> None:
            try:
                self.process.store.copy(BUCKET, source, BUCKET, key, algorithm=algorithm)
            except NotFound:
                assert content is None
            else:
                assert content is not None

        self._do(act, after, crash)

    @precondition(lambda self: self.done % 8 == 7)
    @rule(wanted=st.sampled_from([Versioning.ENABLED, Versioning.SUSPENDED]), crash=CRASH)
    def set_versioning(self, wanted: Versioning, crash: int | None) -> None:
        after = self.model.copy()
        after.versioning = wanted
        self._do(lambda: self.process.store.set_versioning(BUCKET, wanted), after, crash)

    @precondition(lambda self: len(self.model.uploads) < 2)
    @rule(key=KEYS, crash=CRASH)
    def begin_upload(self, key: str, crash: int | None) -> None:
        if key in (other for other, _ in self.model.uploads.values()):
            return
        after = self.model.copy()
        after.uploads[NEW] = (key, {})
        self._do(lambda: self.process.store.uploads.begin(BUCKET, key), after, crash)

    @precondition(lambda self: self.model.uploads)
    @rule(which=WHICH, number=st.integers(1, 3), is_large=st.booleans(), crash=CRASH)
    def put_part(self, which: int, number: int, is_large: bool, crash: int | None) -> None:
        id_, key = self._upload(which)
        content = self._content(limits.PART_MIN_BYTES if is_large else which)
        after = self.model.copy()
        after.uploads[id_][1][number] = content
        uploads = self.process.store.uploads
        self._do(
            lambda: uploads.put_part(BUCKET, key, id_, number, self.process.stream(content)),
            after,
            crash,
        )

    @precondition(lambda self: self.model.uploads)
    @rule(which=WHICH, crash=CRASH)
    def complete(self, which: int, crash: int | None) -> None:
        id_, key = self._upload(which)
        parts = sorted(self.model.uploads[id_][1].items())
        if not parts:
            return
        listed = self.process.store.uploads.list_parts(BUCKET, key, id_).parts
        chosen = [PartChoice(part.number, part.etag) for part in listed]
        is_allowed = all(len(content) >= limits.PART_MIN_BYTES for _, content in parts[:-1])
        after = self.model.copy()
        if is_allowed:
            after.put(key, b"".join(content for _, content in parts))
            del after.uploads[id_]

        def act() -> None:
            try:
                self.process.store.uploads.complete(BUCKET, key, id_, chosen)
            except TooSmall:
                assert not is_allowed
            else:
                assert is_allowed

        self._do(act, after, crash)

    @precondition(lambda self: self.model.uploads)
    @rule(which=WHICH, crash=CRASH)
    def abort(self, which: int, crash: int | None) -> None:
        id_, key = self._upload(which)
        after = self.model.copy()
        del after.uploads[id_]
        self._do(lambda: self.process.store.uploads.abort(BUCKET, key, id_), after, crash)

    @rule(prefix=st.sampled_from(["", "a", "a/", "é"]), delimiter=st.sampled_from(["", "/", "/c"]))
    def list(self, prefix: str, delimiter: str) -> None:
        keys: list[str] = []
        prefixes: list[str] = []
        after: str | None = ""
        while after is not None:
            page = self.process.store.list(
                BUCKET, prefix=prefix, delimiter=delimiter, after=after, most=2
            )
            keys += [one.key for one in page.objects]
            prefixes += page.prefixes
            after = page.next
        assert (keys, prefixes) == self.model.listed(prefix, delimiter)

    @precondition(lambda self: self.done % 6 == 5)
    @rule(crash=CRASH)
    def tidy(self, crash: int | None) -> None:
        self._do(lambda: self.process.store.tidy(), self.model.copy(), crash)

    @precondition(lambda self: self.done % 6 == 5)
    @rule(crash=CRASH)
    def sweep(self, crash: int | None) -> None:
        self._do(lambda: self.process.store.sweep(older_than_s=0), self.model.copy(), crash)

    def teardown(self) -> None:
        if hasattr(self, "process"):
            self.process.check_at_rest()
            assert self.model.adopt(self.process.found())
            self.process.close()
            shutil.rmtree(self.folder)
            limits.PART_MIN_BYTES = self.part_min  # type: ignore[misc]

    def _content(self, size: int) -> bytes:
        """Return bytes that were not written before."""
        self.written += 1
        return (b"%09d" % self.written * (size // 9 + 1))[:size]

    def _upload(self, which: int) -> tuple[str, str]:
        # By key, of which there is one at a time: ids are by chance, and a story is told again.
        found = sorted((key, id_) for id_, (key, _) in self.model.uploads.items())
        key, id_ = found[which % len(found)]
        return id_, key

    def _do(self, act: Callable[[], object], after: Model, crash: int | None) -> None:
        """Do something, dying on the way if so it must be, and hold the store to the model."""
        self.done += 1
        self.process.crash_at(crash)
        is_acknowledged = self.process.survives(act)
        found = self.process.found()
        if after.adopt(found):
            self.model = after
            return
        assert not is_acknowledged, f"acknowledged, but {found} is not {after}"
        assert self.model.adopt(found), f"half done: {found}, neither {self.model} nor {after}"


TestAnyStory = Story.TestCase
TestAnyStory.settings = settings(
    max_examples=35,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
