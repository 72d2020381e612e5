"""Settings from the environment: precedence, empty and misspelt variables, and what a refusal says."""

from __future__ import annotations

import pytest

from loopwatch.errors import SettingsError
from loopwatch.settings import Settings
from tests.made_settings import CHOICES, DEFAULTS, NAMES, from_environment, resolve, variable

# --- precedence ---


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_wins_over_the_environment_and_that_over_the_default(name: str) -> None:
    """Precedence is argument, then variable, then default, for every setting."""
    argument, text, value = CHOICES[name]
    assert len({repr(argument), repr(value), repr(DEFAULTS[name])}) == 3
    environ = {variable(name): text}
    assert getattr(Settings.resolve({}, environ), name) == value
    assert getattr(Settings.resolve({name: argument}, environ), name) == argument


@pytest.mark.parametrize("name", NAMES)
def test_one_choice_leaves_the_others_at_their_defaults(name: str) -> None:
    """A setting changes itself alone."""
    argument, text, value = CHOICES[name]
    for settings, chosen in (
        (resolve(**{name: argument}), argument),
        (from_environment(**{variable(name): text}), value),
    ):
        assert {each: getattr(settings, each) for each in NAMES} == {**DEFAULTS, name: chosen}


@pytest.mark.parametrize("name", NAMES)
def test_an_argument_equal_to_the_default_still_wins(name: str) -> None:
    """Given is given: who passes the default on purpose does not get the variable's value."""
    _, text, _ = CHOICES[name]
    assert getattr(Settings.resolve({name: DEFAULTS[name]}, {variable(name): text}), name) == DEFAULTS[name]


def test_a_variable_that_loses_is_not_judged() -> None:
    """An argument can mend a service whose environment has a wrong value."""
    assert Settings.resolve({"threshold": 0.2}, {"LOOPWATCH_THRESHOLD": "soon"}).threshold == 0.2


def test_other_variables_are_not_looked_at() -> None:
    """Only names with our prefix, in capitals, are ours."""
    environ = {"PATH": "/bin", "LOOPWATCHER": "x", "loopwatch_threshold": "soon", "MY_LOOPWATCH_THRESHOLD": "1"}
    assert Settings.resolve({}, environ) == Settings()


# --- the environment ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "TRUE", "yes", "on", "1", " True ")),
        *((text, False) for text in ("false", "False", "no", "off", "0")),
        *((text, "auto") for text in ("auto", "AUTO", " auto")),
    ],
)
def test_a_switch_in_the_environment(text: str, value: object) -> None:
    """The usual words for yes and no, in any case."""
    assert from_environment(LOOPWATCH_PROMETHEUS=text).prometheus == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("threshold", text) for text in ("soon", "50ms", "0", "-1", "nan", "inf", "-inf", "1e400", "0,1", "None")),
        *(("repeat_interval", text) for text in ("-1", "nan", "inf")),
        *(("queue_size", text) for text in ("0", "-5", "1.5", "1e3", "ten", "9" * 5000)),
        *(("max_sites", text) for text in ("0", "1001", "true")),
        *(("prometheus", text) for text in ("maybe", "2", "REGISTRY", "None")),
        *(("own_code", text) for text in (",", "shop,", "shop views", "shop/views.py")),
        *(("reporters", text) for text in (",", "log,", "None", "print")),
    ],
)
def test_a_wrong_variable_is_refused_by_its_own_name(name: str, text: str) -> None:
    """The refusal names the variable, its whole text, and what is allowed: enough to mend the deployment."""
    with pytest.raises(SettingsError) as caught:
        from_environment(**{variable(name): text})
    assert (caught.value.setting, caught.value.value) == (variable(name), text)
    assert caught.value.allowed in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_variable_counts_as_unset(name: str, text: str) -> None:
    """Compose files and shell scripts hand on variables that nobody has set; also misspelt ones."""
    settings = from_environment(**{variable(name): text, variable(name) + "S": text})
    assert settings == Settings()
    assert settings.in_environment == frozenset()


@pytest.mark.parametrize("name", ["LOOPWATCH_THRESHOLDS", "LOOPWATCH_", "LOOPWATCH_THRESHOLD_", "LOOPWATCH_threshold"])
def test_an_unknown_variable_with_our_prefix_is_refused(name: str) -> None:
    """A misspelt variable is told, with the names that exist; it does not go unnoticed."""
    with pytest.raises(SettingsError) as caught:
        from_environment(**{name: "0.1"})
    assert (caught.value.setting, caught.value.value) == (name, "0.1")
    assert str(caught.value).startswith(f"{name} is '0.1', but there is no such setting.")
    for known in NAMES:
        assert variable(known) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LOOPWATCH_TRESHOLD", "LOOPWATCH_THRESHOLD"),
        ("LOOPWATCH_THRESHOLD_SECONDS", "LOOPWATCH_THRESHOLD"),
        ("LOOPWATCH_reporters", "LOOPWATCH_REPORTERS"),
        ("LOOPWATCH_REPORTER", "LOOPWATCH_REPORTERS"),
        ("LOOPWATCH_EXECUTORWAIT", "LOOPWATCH_EXECUTOR_WAIT"),
        ("LOOPWATCH_MAX_SITE", "LOOPWATCH_MAX_SITES"),
        ("LOOPWATCH_FOO", None),
        ("LOOPWATCH_", None),
    ],
)
def test_a_misspelt_variable_is_answered_with_the_nearest(name: str, meant: str | None) -> None:
    """Where one is near; a far one would be a riddle."""
    with pytest.raises(SettingsError) as caught:
        from_environment(**{name: "0.1"})
    assert f"Did you mean {meant}? " in str(caught.value) if meant else "Did you mean" not in str(caught.value)


def test_an_unknown_argument_is_refused() -> None:
    """The same for arguments."""
    with pytest.raises(
        SettingsError, match=r"thresholds is 1, but there is no such setting\. Did you mean threshold\? "
    ):
        resolve(thresholds=1)


def test_a_setting_is_named_as_the_user_gave_it() -> None:
    """What is found out later is told of the variable where that was what the user wrote."""
    settings = Settings.resolve({"threshold": 0.2}, {"LOOPWATCH_REPORTERS": "log", "LOOPWATCH_THRESHOLD": "0.3"})
    assert settings.in_environment == {"reporters"}
    assert [settings.named(name) for name in ("reporters", "threshold", "max_sites")] == [
        "LOOPWATCH_REPORTERS",
        "threshold",
        "max_sites",
    ]
    assert settings == resolve(threshold=0.2, reporters=["log"])
