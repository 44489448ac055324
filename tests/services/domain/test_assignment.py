"""The assignment hash agrees with GrowthBook's public vectors and splits as promised."""

import hashlib
import math

import pytest

from services.domain.assignment import BUCKETS, arm_of, bucket_of, commitment, fnv32a, opens

SALT = "9f" * 16
OTHER_SALT = "3c" * 16

# seed, value, bucket as a fraction: the version 2 rows of GrowthBook's SDK test cases.
GROWTHBOOK_V2 = [
    ("seed", "a", 0.0505),
    ("seed", "b", 0.2696),
    ("foo", "ab", 0.2575),
    ("foo", "def", 0.2019),
    ("89123klj", "8952klfjas09ujkasdf", 0.124),
    ("90850943850283058242805", "123", 0.7516),
    ("()**(%$##$%#$#", '___)((*":&', 0.0128),
]


@pytest.mark.parametrize(("seed", "value", "expected"), GROWTHBOOK_V2)
def test_bucket_matches_growthbook_vector(seed: str, value: str, expected: float) -> None:
    assert bucket_of(seed, value) / BUCKETS == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("fo", 0x6222E842), ("foobar", 0xBF9CF968)]
)
def test_fnv_matches_its_reference_vectors(text: str, expected: int) -> None:
    assert fnv32a(text) == expected


def test_fnv_reads_utf16_code_units_not_utf8_bytes() -> None:
    by_hand = 0x811C9DC5
    for unit in (0x00E9, 0xD83D, 0xDE00):
        by_hand = ((by_hand ^ unit) * 0x01000193) & 0xFFFFFFFF
    assert fnv32a("\u00e9\U0001f600") == by_hand


@pytest.mark.parametrize("share", [0.1, 0.5, 0.85])
def test_share_is_kept_over_ten_thousand_units(share: float) -> None:
    units = 10_000
    treated = sum(arm_of(SALT, f"task_{number}", share) for number in range(units))
    four_sigma = 4 * math.sqrt(share * (1 - share) / units)
    assert abs(treated / units - share) <= four_sigma


def test_two_salts_assign_independently() -> None:
    units = 10_000
    both = sum(
        arm_of(SALT, f"task_{number}", 0.5) * arm_of(OTHER_SALT, f"task_{number}", 0.5)
        for number in range(units)
    )
    assert abs(both / units - 0.25) <= 4 * math.sqrt(0.25 * 0.75 / units)


def test_arm_is_sticky_and_a_ramp_never_takes_treatment_away() -> None:
    for number in range(500):
        unit = f"task_{number}"
        arms = [arm_of(SALT, unit, share) for share in (0.1, 0.3, 0.5, 0.9)]
        assert arms == sorted(arms)
        assert arm_of(SALT, unit, 0.3) == arms[1]


def test_share_boundary_counts_exact_buckets() -> None:
    unit = next(f"u{number}" for number in range(100_000) if bucket_of(SALT, f"u{number}") == 3000)
    assert arm_of(SALT, unit, 0.3) == 0
    assert arm_of(SALT, unit, 0.3001) == 1


def test_share_zero_and_one_are_everyone_in_one_arm() -> None:
    assert {arm_of(SALT, f"t{number}", 0.0) for number in range(200)} == {0}
    assert {arm_of(SALT, f"t{number}", 1.0) for number in range(200)} == {1}


def test_bytes_salt_equals_its_hex_text() -> None:
    assert [arm_of(bytes.fromhex(SALT), f"t{n}", 0.5) for n in range(50)] == [
        arm_of(SALT, f"t{n}", 0.5) for n in range(50)
    ]


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_share_outside_unit_interval_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="treatment_share"):
        arm_of(SALT, "task", share)


def test_empty_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="unit"):
        arm_of(SALT, "", 0.5)


def test_commitment_opens_only_with_its_salt() -> None:
    published = commitment(SALT)
    assert published == hashlib.sha256(SALT.encode()).hexdigest()
    assert opens(published, SALT)
    assert not opens(published, OTHER_SALT)


@pytest.mark.parametrize("salt", ["", "ab", "9F" * 16, "zz" * 16, "a" * 33])
def test_commitment_refuses_a_salt_that_is_short_or_not_hex(salt: str) -> None:
    with pytest.raises(ValueError, match="salt_hex"):
        commitment(salt)
