"""What secrets look like: tokens that bear a mark of their issuer, and names that say a secret follows. Pure tables.

The shapes are the issuers' own, after their documentation. A shape is looked for by its mark first, which costs a
search for a few letters, and only then matched; every repetition has a limit, so no text can make it slow.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property


class Lazy:
    """A pattern that is compiled when it is first used: most of them never are, and together they take 20 ms."""

    def __init__(self, pattern: str, flags: int = 0) -> None:
        self._pattern, self._flags = pattern, flags

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self._pattern, self._flags)

    def match(self, text: str, place: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        return self._compiled.match(text, place, end)

    def search(self, text: str, place: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        return self._compiled.search(text, place, end)

    def fullmatch(self, text: str) -> re.Match[str] | None:
        return self._compiled.fullmatch(text)

    def finditer(self, text: str, place: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        return self._compiled.finditer(text, place, end)

    def findall(self, text: str) -> list[str]:
        return self._compiled.findall(text)


PLACEHOLDER = "[redacted:"  # and the kind, and ]
# No token is shorter.
LEAST_LETTERS = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of token: how it begins, in letters that are looked for as they are, and what it is then."""

    kind: str
    marks: tuple[str, ...]
    pattern: Lazy


def _shape(kind: str, marks: str, pattern: str) -> Shape:
    return Shape(kind, tuple(marks.split()), Lazy(pattern, re.ASCII))


# Each pattern is matched where its mark stands; what stands before must be no part of a longer word, and of
# what follows nothing may be left over that belongs to the token.
SHAPES = (
    _shape("aws-key", "AKIA ASIA ABIA ACCA", r"(?:A[KSB]IA|ACCA)[A-Z0-9]{16}"),
    _shape("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    _shape("github-token", "github_pat_", r"github_pat_[A-Za-z0-9_]{22,255}"),
    _shape(
        "gitlab-token",
        "glpat- gldt- glrt- glrtr- glptt- glcbt- glsoat- glft- glimt- glagent- gloas- glffct-",
        r"gl[a-z]{2,5}-[A-Za-z0-9_=.-]{20,300}",
    ),
    _shape("gitlab-token", "GR1348941", r"GR1348941[A-Za-z0-9_-]{20,50}"),
    _shape(
        "slack-token",
        "xoxa- xoxb- xoxe- xoxe. xoxo- xoxp- xoxr- xoxs- xoxc- xoxd-",
        r"xox[a-z][-.][A-Za-z0-9%.-]{12,400}",
    ),
    _shape("slack-token", "xapp-", r"xapp-\d-[A-Za-z0-9-]{16,200}"),
    _shape("webhook", "hooks.slack.com/", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_-]{20,200}"),
    _shape(
        "webhook",
        "discord.com/api/ discordapp.com/api/",
        r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/\d{15,22}/[A-Za-z0-9_-]{40,120}",
    ),
    _shape("google-key", "AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _shape("google-secret", "GOCSPX-", r"GOCSPX-[A-Za-z0-9_-]{24,40}"),
    _shape("google-token", "ya29.", r"ya29\.[A-Za-z0-9_-]{20,2048}"),
    _shape("google-token", "1//0", r"1//0[A-Za-z0-9_-]{40,200}"),
    _shape(
        "stripe-key",
        "sk_live_ sk_test_ rk_live_ rk_test_ sk_prod_",
        r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{16,250}",
    ),
    _shape("stripe-secret", "whsec_", r"whsec_[A-Za-z0-9+/=_-]{24,100}"),
    _shape("anthropic-key", "sk-ant-", r"sk-ant-[a-z0-9]{2,12}-[A-Za-z0-9_-]{20,300}"),
    _shape("api-key", "sk-", r"sk-(?:[a-z0-9]{2,12}-){0,3}(?=[A-Za-z_-]{0,40}\d)[A-Za-z0-9_-]{32,300}"),
    _shape("api-key", "gsk_ xai-", r"(?:gsk_|xai-)[A-Za-z0-9]{40,100}"),
    _shape("huggingface-token", "hf_ api_org_", r"(?:hf|api_org)_[A-Za-z0-9]{30,60}(?![A-Za-z0-9_])"),
    _shape("npm-token", "npm_", r"npm_[A-Za-z0-9]{36}"),
    _shape("pypi-token", "pypi-", r"pypi-[A-Za-z0-9_-]{50,1000}"),
    _shape("rubygems-key", "rubygems_", r"rubygems_[a-f0-9]{48}"),
    _shape("crates-token", "cio", r"cio[A-Za-z0-9]{32}(?![A-Za-z0-9_])"),
    _shape("docker-token", "dckr_pat_ dckr_oat_", r"dckr_[po]at_[A-Za-z0-9_-]{20,100}"),
    _shape("digitalocean-token", "dop_v1_ doo_v1_ dor_v1_", r"do[por]_v1_[a-f0-9]{64}"),
    _shape("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"),
    _shape("sendgrid-key", "SG.", r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{32,64}"),
    _shape("twilio-key", "SK", r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    _shape("mailgun-key", "key-", r"key-[0-9a-f]{32}(?![A-Za-z0-9])"),
    _shape("square-token", "sq0atp- sq0csp- EAAA", r"(?:sq0[a-z]{3}-[A-Za-z0-9_-]{22,50}|EAAA[A-Za-z0-9_-]{56,64})"),
    _shape("newrelic-key", "NRAK- NRJS- NRII-", r"NR(?:AK|JS|II)-[A-Za-z0-9_-]{19,60}"),
    _shape("grafana-token", "glc_ glsa_", r"gl(?:c|sa)_[A-Za-z0-9+/=_-]{32,400}"),
    _shape("databricks-token", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?(?![A-Za-z0-9])"),
    _shape("linear-key", "lin_api_ lin_oauth_", r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}"),
    _shape("notion-token", "ntn_ secret_", r"(?:ntn_[A-Za-z0-9]{40,60}|secret_[A-Za-z0-9]{43})(?![A-Za-z0-9_])"),
    _shape("figma-token", "figd_", r"figd_[A-Za-z0-9_-]{36,80}"),
    _shape("postman-key", "PMAK-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}"),
    _shape("vault-token", "hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_-]{24,300}"),
    _shape("pulumi-token", "pul-", r"pul-[a-f0-9]{40}(?![A-Za-z0-9])"),
    _shape("planetscale-token", "pscale_", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,100}"),
    _shape("doppler-token", "dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40,100}"),
    _shape("flyio-token", "fo1_ fm1_ fm2_", r"f(?:o1|m1[ar]?|m2)_[A-Za-z0-9+/=_,-]{40,2000}"),
    _shape("supabase-key", "sbp_ sb_secret_", r"sb(?:p_[a-f0-9]{40}|_secret_[A-Za-z0-9_-]{20,60})"),
    _shape("netlify-token", "nfp_ nfc_ nfo_ nfu_", r"nf[pcou]_[A-Za-z0-9]{36,60}"),
    _shape("heroku-key", "HRKU-", r"HRKU-[A-Za-z0-9_-]{36,80}"),
    _shape("sentry-token", "sntrys_ sntryu_", r"sntry[su]_[A-Za-z0-9+/=_-]{40,400}"),
    _shape("tailscale-key", "tskey-", r"tskey-[a-z]{3,12}-[A-Za-z0-9-]{16,100}"),
    _shape("airtable-token", "pat", r"pat[A-Za-z0-9]{14}\.[a-f0-9]{64}"),
    _shape("atlassian-token", "ATATT3 ATCTT3", r"AT[AC]TT3[A-Za-z0-9_=+/-]{100,400}"),
    _shape("dropbox-token", "sl.", r"sl\.(?:u\.)?[A-Za-z0-9_-]{100,2000}"),
    _shape("facebook-token", "EAACEdEose0cBA EAA", r"EAA[A-Za-z0-9]{90,300}"),
    _shape("twitch-token", "oauth:", r"oauth:[a-z0-9]{30}(?![A-Za-z0-9])"),
    _shape("1password-token", "ops_eyJ", r"ops_eyJ[A-Za-z0-9+/=_-]{100,2000}"),
    _shape("azure-secret", "sig=", r"sig=[A-Za-z0-9%/+]{40,100}=*"),
    _shape("age-key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
    _shape("jwt", "eyJ", r"eyJ[A-Za-z0-9_-]{8,4000}\.eyJ[A-Za-z0-9_-]{8,8000}(?:\.[A-Za-z0-9_-]{8,2000}|\.)?"),
)

# Marks that other words hold too: no letter may stand before them.
_WEAK_MARKS = """
    SK pat cio hf_ api_org_ key- sl. EAA EAAA SG. sk- 1//0 dp. oauth: dapi sig= secret_ pul- eyJ gsk_ xai-
"""
WEAK_MARKS = frozenset(_WEAK_MARKS.split())

# Tokens that bear their mark in the middle, with the letters that may stand before it: at least, at most.
MIDDLE_SHAPES = (
    (8, 12, _shape("telegram-token", ":AA", r"\d{8,12}:AA[A-Za-z0-9_-]{32,34}(?![A-Za-z0-9_-])")),
    (4, 4, _shape("azure-secret", "Q~", r"[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}(?![A-Za-z0-9_~.-])")),
    (14, 14, _shape("terraform-token", ".atlasv1.", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,90}")),
)

# Commands that take a password behind a letter, and how it stands there.
COMMANDS = tuple(
    (name, Lazy(pattern))
    for name, pattern in (
        ("sshpass ", r"sshpass [^\n|;&]{0,40}?-p ?[\"']?([^\s\"']{4,200})"),
        ("mysql", r"mysql(?:dump|admin)? [^\n|;&]{0,120}?-p[\"']?([^\s\"']{4,200})"),
        ("mariadb", r"mariadb(?:-dump)? [^\n|;&]{0,120}?-p[\"']?([^\s\"']{4,200})"),
        ("docker login", r"docker login [^\n|;&]{0,120}?-p ?[\"']?([^\s\"']{4,200})"),
        ("redis-cli", r"redis-cli [^\n|;&]{0,120}?-a ?[\"']?([^\s\"']{4,200})"),
        ("login ", r"login +[^\s]{1,80}\s+password +([^\s]{3,200})"),  # .netrc
    )
)

# Where the name of a secret may stand (in small letters), and what it is then. `key` is one only behind KEY_OWNERS.
NAME_STEMS = ("pass", "pwd", "secret", "credential", "token", "bearer", "key", "auth")
NAME = Lazy(
    r"pass(?:phrase|words?|wd|wort|code|e)?|pwd|secret(?:[_ -]?(?:access[_ -]?)?key(?:_base)?)?|credentials?|token"
    r"|bearer|key(?:_base)?|auth(?:orization|token)?",
    re.ASCII,
)
_KEY_OWNERS = "api access secret private signing encryption auth master account deploy sharedaccess"
KEY_OWNERS = tuple(owner + joint for owner in _KEY_OWNERS.split() for joint in ("", "_", "-", " "))
KINDS = {
    "pa": "password",
    "pw": "password",
    "se": "secret",
    "cr": "secret",
    "to": "token",
    "be": "token",
    "au": "token",
}
# What a value is that only stands where a secret would: in it, or all of it.
_DUMMY_PARTS = """
    your example changeme change_me change-me placeholder redacted dummy insert replace goes_here goes-here some_ some-
    xxxx **** .... ... … fake todo not-a- not_a_ < ${ {{ $( %( process.env os.environ env[ env. getenv secrets. vault:
    lookup( params[
"""
DUMMY_PARTS = tuple(_DUMMY_PARTS.split())
_DUMMY_WORDS = """
    password passwd passphrase secret token string text null none nil true false undefined required optional
    changeit admin root user username postgres mysql guest test testing tester default empty unset value hidden
    123456 12345678 1234567890 secret_key api_key apikey access_token refresh_token bearer basic digest negotiate
    ephemeral encrypted filtered masked omitted removed unknown invalid expired missing incorrect wrong letmein
    qwerty foo bar baz foobar hello world mypassword mysecret my_password my_secret my-password my-secret mytoken
    my_token my-token secretpassword mysecretpassword supersecret topsecret super_secret
"""
DUMMY_WORDS = frozenset(_DUMMY_WORDS.split())
