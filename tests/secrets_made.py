"""Secrets as they are issued, made at random for tests: none is, or was, anybody's."""

from __future__ import annotations

import base64
import json
import string
from collections.abc import Callable
from random import Random

LETTERS = string.ascii_letters + string.digits
CAPITALS = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
URL = LETTERS + "_-"
BASE64 = LETTERS + "+/"


class Maker:
    """Makes secrets out of one seed. Each comes with the text that it stands in, as notes have them."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def _some(self, count: int, letters: str = LETTERS) -> str:
        """Return letters as dice give them, digits and letters among them."""
        while True:
            found = "".join(self._random.choice(letters) for _ in range(count))
            if count < 12 or (any(map(str.isdigit, found)) and any(map(str.isalpha, found))):
                return found

    def _of(self, *choices: str) -> str:
        return self._random.choice(choices)

    def _number(self, digits: int) -> str:
        return str(self._random.randrange(10 ** (digits - 1), 10**digits))

    def password(self) -> str:
        return self._of(self._some(10) + "1a", f"{self._some(5)}!{self._some(6)}7q", f"Sommer{self._some(2, HEX)}2024!")

    def pem(self, kind: str = "RSA ") -> tuple[str, str]:
        lines = [self._some(64, BASE64) for _ in range(8)]
        body = "\n".join(lines)
        return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----", lines[3]

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        return f"{part({'alg': 'HS256'})}.{part({'sub': self._some(8)})}.{self._some(43, URL)}"

    def all(self) -> list[tuple[str, str, str]]:
        """Return (kind, text, the secret in it) of one of each."""
        tokens: dict[str, list[str]] = {
            "aws-key": ["AKIA" + self._some(16, CAPITALS), "ASIA" + self._some(16, CAPITALS)],
            "github-token": ["ghp_" + self._some(36), f"github_pat_{self._some(22)}_{self._some(59)}"],
            "gitlab-token": ["glpat-" + self._some(20, URL)],
            "slack-token": [f"xoxb-{self._number(12)}-{self._number(12)}-{self._some(24)}"],
            "webhook": [
                f"hooks.slack.com/services/T{self._some(8, CAPITALS)}/B{self._some(8, CAPITALS)}/{self._some(24)}"
            ],
            "google-key": ["AIza" + self._some(35, URL)],
            "google-secret": ["GOCSPX-" + self._some(28, URL)],
            "stripe-key": ["sk_live_" + self._some(24), "rk_live_" + self._some(24)],
            "anthropic-key": [f"sk-ant-api03-{self._some(93, URL)}AA"],
            "api-key": [f"sk-proj-{self._some(74, URL)}", f"sk-{self._some(20)}T3BlbkFJ{self._some(20)}"],
            "npm-token": ["npm_" + self._some(36)],
            "pypi-token": ["pypi-AgEIcHlwaS5vcmc" + self._some(150, URL)],
            "rubygems-key": ["rubygems_" + self._some(48, HEX)],
            "crates-token": ["cio" + self._some(32)],
            "docker-token": ["dckr_pat_" + self._some(27, URL)],
            "huggingface-token": ["hf_" + self._some(34)],
            "digitalocean-token": ["dop_v1_" + self._some(64, HEX)],
            "shopify-token": ["shpat_" + self._some(32, HEX)],
            "sendgrid-key": [f"SG.{self._some(22, URL)}.{self._some(43, URL)}"],
            "twilio-key": ["SK" + self._some(32, HEX)],
            "telegram-token": [f"{self._number(10)}:AA{self._some(33, URL)}"],
            "grafana-token": [f"glsa_{self._some(32)}_{self._some(8, HEX)}"],
            "databricks-token": ["dapi" + self._some(32, HEX)],
            "vault-token": ["hvs." + self._some(90, URL)],
            "terraform-token": [f"{self._some(14)}.atlasv1.{self._some(67, URL)}"],
            "azure-secret": [f"{self._some(3)}8Q~{self._some(34, URL)}"],
            "age-key": ["AGE-SECRET-KEY-1" + self._some(58, CAPITALS)],
            "tailscale-key": [f"tskey-auth-{self._some(12)}CNTRL-{self._some(30)}"],
            "jwt": [self.jwt()],
        }
        found = [(kind, token, token) for kind, some in tokens.items() for token in some]
        for kind in ("RSA ", "EC ", "OPENSSH ", "ENCRYPTED ", ""):
            found.append(("private-key", *self.pem(kind)))
        cut, line = self.pem()
        found.append(("private-key", "\n".join(cut.splitlines()[:6]), line))
        whole, line = self.pem("")
        found.append(("private-key", json.dumps({"private_key": whole}), line))
        encoded = base64.b64encode(self.pem()[0].encode()).decode()
        found.append(("private-key", f"client-key-data: {encoded}", encoded[200:260]))
        return [*found, *self._named()]

    def _named(self) -> list[tuple[str, str, str]]:
        """Return secrets that only what stands beside them gives away."""
        forms: list[tuple[str, Callable[[], str], tuple[str, ...]]] = [
            ("url-password", self.password, (
                "postgres://ada:{}@db.internal:5432/shop", "redis://:{}@cache:6379/0",
                "https://ada:{}@example.org/x.git", "mongodb+srv://ada:{}@cluster0.example.net/?w=1")),
            ("password", self.password, (
                "PASSWORD={}", "export DB_PASSWORD={}", 'POSTGRES_PASSWORD="{}"', "MYSQL_PWD='{}' mysql", "password: {}",
                '"password": "{}"', "  smtp_pass = '{}'", "--password={}", "--password {}", "dbPassword: '{}',",
                "PGPASSWORD={} psql -h db", "password => '{}'", "<password>{}</password>", "The password is {}",
                "Mot de passe : {}", "spring.datasource.password={}", "docker run -e MYSQL_ROOT_PASSWORD={} mysql",
                "curl -u ada:{} https://x.org", "curl --user 'ada:{}' https://x.org", "sshpass -p '{}' ssh ada@x",
                "mysql -uroot -p{} shop", "machine x.org login ada password {}")),
            ("token", lambda: self._some(32), (
                "Authorization: Bearer {}", "curl -H 'Authorization: Token {}' https://x.org", "access_token={}&x=1",
                "https://api.x.org/v1?token={}&page=2", "//registry.example.org/:_authToken={}", "auth_token = '{}'",
                "--token {}", "accessToken: '{}'", "my token for the CI is here {}", "| token | {} |")),
            ("api-key", lambda: self._some(32, HEX), ("API_KEY={}", 'api_key: "{}"', "X-Api-Key: {}", 'x["apikey"] = "{}"')),
            ("api-key", lambda: self._some(40, BASE64), ("account_key={}", "AccountKey={};EndpointSuffix=x")),
            ("secret", lambda: self._some(40, BASE64), (
                "AWS_SECRET_ACCESS_KEY={}", "aws_secret_access_key = {}", "AWS Secret Access Key [None]: {}",
                "SECRET_KEY_BASE={}", "client_secret={}", "JWT_SECRET: {}", "SecretAccessKey: {}", "DJANGO_SECRET_KEY='{}'")),
        ]  # fmt: skip
        found = []
        for kind, make, texts in forms:
            for text in texts:
                secret = make()
                found.append((kind, text.format(secret), secret))
        return found


# What looks like one and is none.
CLEAN = [
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8", "id: 123e4567-e89b-12d3-a456-426614174000",
    "sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "PASSWORD=$VAR", "PASSWORD=${DB_PASSWORD}",
    "PASSWORD=$(pass show db)", "token: <your token>", "api_key=xxxxxxxxxxxxxxxx", "password: changeme",
    "password = 'password'", '"token": "YOUR_TOKEN_HERE"', "how do I reset my password",
    "![x](data:image/png;base64," + base64.b64encode(Random(1).randbytes(900)).decode() + ")",
    "git checkout 9fceb02d0ae598e95dc970b74767f19372d61af8 -- token.py", "password = get_password()",
    "token = os.environ['GITHUB_TOKEN']", "const token = process.env.API_TOKEN", "def authenticate(password, token):",
    "secret: kubernetes.io/tls", "max_tokens=4096", "the password must be at least 8 characters",
    "integrity sha512-" + base64.b64encode(Random(2).randbytes(64)).decode(), "password: string", "token: str | None = None",
    "password=None", "pass: true", "-----BEGIN RSA PRIVATE KEY----- is the first line of a key",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYDVQQG\n-----END CERTIFICATE-----",
    "https://user@example.org/path", "ftp://host:21/x", "secretKeyRef:\n  name: db-secret\n  key: password",
    "export GITHUB_TOKEN=`gh auth token`", "sort -t: -k2 /etc/passwd", "Error: authentication token manipulation error",
    "passwd: all authentication tokens updated successfully", "{{ vault_password }}", "password_digest: string",
    "secret = Rails.application.credentials.secret_key_base", "token: ${{ secrets.GITHUB_TOKEN }}", "password='********'",
    "auth: https://auth.example.io/token", "pass `--force-with-lease`", "pwd: /home/ada/work2", "password: '...'",
    "passphrase: (empty for none)", "primary key=id2", "token = tokens[0]", "if token == 'abc':", "v1.2.3-rc1+build.5",
    "PASSWORD_FILE=/run/secrets/db1", "git log --oneline", "ssh://git@host/path", "AKIA is how keys begin", "password = ''",
    "secret: ${SECRET}", "the token expired", "POSTGRES_PASSWORD=postgres", "user=root password=secret",
]  # fmt: skip
