"""The canonical form of an audit row, beside an encoder that knows nothing of codes."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from messenger.storage.audit_chain import COLUMNS, canonical, details_text

CODES = st.from_regex(r"[A-Za-z0-9_.:/-]{0,20}", fullmatch=True)
ROWS = st.fixed_dictionaries(
    {
        "seq": st.integers(1, 2**62),
        "at": st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-9))])).filter(
            lambda at: 1 < at.year < 9999
        ),
        "actor": CODES,
        "action": CODES,
        "object": CODES,
        "purpose": CODES,
        "outcome": CODES,
        "reason": CODES,
        "details": st.dictionaries(CODES, CODES, max_size=4),
        "enc_words": st.none() | st.binary(min_size=1, max_size=20),
        "key_no": st.integers(1, 99),
    }
)


@given(ROWS)
def test_a_row_is_put_together_as_an_encoder_would(row: dict[str, object]) -> None:
    words = row.pop("enc_words")
    at = row["at"]
    assert isinstance(at, datetime)
    wanted = {
        **row,
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "words": hashlib.sha256(words).hexdigest() if isinstance(words, bytes) else "",
    }
    text = details_text(row["details"])  # type: ignore[arg-type]
    stored = {**row, "details": text, "enc_words": words}
    made = canonical([stored[name] for name in COLUMNS])
    assert made == json.dumps(wanted, sort_keys=True, separators=(",", ":")).encode()
