//! Who gets in, over real HTTP: tokens, accounts, keys, and the commands that make them.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::desk::Desk;
use crate::service::Service;

const SECRET: &str = "a secret of thirty-two bytes at least";
pub(crate) const PROVIDER: [(&str, &str); 3] = [
    ("COURSEWRIGHT_JWT_SECRET", SECRET),
    ("COURSEWRIGHT_AUTH__ISSUER", "https://id.example.org/"),
    ("COURSEWRIGHT_AUTH__AUDIENCE", "courses"),
];

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "sub": "0198a000-0000-7000-8000-000000000001",
        "email": "ann@example.org",
        "user_role": "instructor",
        "organization_id": "0198a000-0000-7000-8000-000000000002",
        "tier": "standard",
        "iss": "https://id.example.org/",
        "aud": "courses",
        "exp": now() + 600,
    });
    change(&mut claims);
    claims
}

fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!(
        "{message}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

pub(crate) fn token(claims: &Value) -> String {
    signed(&json!({"alg": "HS256", "typ": "JWT"}), claims, SECRET)
}

#[test]
fn every_refused_token_gets_401_and_is_counted_by_its_reason() {
    let desk = Desk::new();
    let service = Service::start(&desk, &PROVIDER);
    let good = token(&claims(|_| {}));
    let me = service
        .get("/api/v1/auth.me", &good)
        .expect(200, "ann@example.org")
        .json();
    assert_eq!(
        (&me["role"], &me["organization"]["tier"]),
        (&json!("instructor"), &json!("standard"))
    );

    let (unsigned, _) = good.rsplit_once('.').unwrap();
    let none = signed(&json!({"alg": "none"}), &claims(|_| {}), SECRET);
    let none = none.rsplit_once('.').unwrap().0;
    let attacks = [
        ("algorithm", format!("{none}.")),
        (
            "algorithm",
            signed(&json!({"alg": "RS256", "kid": "1"}), &claims(|_| {}), SECRET),
        ),
        (
            "expired",
            token(&claims(|claims| claims["exp"] = json!(now() - 60))),
        ),
        (
            "not_yet_valid",
            token(&claims(|claims| claims["nbf"] = json!(now() + 600))),
        ),
        (
            "issuer",
            token(&claims(|claims| claims["iss"] = json!("https://evil.example/"))),
        ),
        (
            "audience",
            token(&claims(|claims| claims["aud"] = json!("others"))),
        ),
        ("signature", format!("{unsigned}.")),
        (
            "signature",
            signed(&json!({"alg": "HS256"}), &claims(|_| {}), "another secret"),
        ),
        (
            "claims",
            token(&claims(|claims| claims["organization_id"] = Value::Null)),
        ),
        ("malformed", unsigned.to_owned()),
        ("too_long", format!("{good}{}", "A".repeat(8 * 1024))),
        ("api_key", "cw_0123456789".to_owned()),
    ];
    for (reason, attack) in attacks {
        let name = format!("coursewright_auth_rejections_total{{reason=\"{reason}\"}}");
        let before = service.figure(&name);
        let answer = service
            .get("/api/v1/auth.me", &attack)
            .expect(401, "UNAUTHENTICATED");
        assert!(
            answer.head.to_lowercase().contains("www-authenticate: bearer"),
            "{answer:?}"
        );
        assert!(
            !answer.body.contains(reason),
            "the reason is nobody's business: {answer:?}"
        );
        assert_eq!(service.figure(&name), before + 1, "{reason}");
        // Not even what anybody may call.
        service
            .get("/api/v1/generation.test", &attack)
            .expect(401, "UNAUTHENTICATED");
    }
    service
        .send("GET /api/v1/auth.me", &[], b"")
        .expect(401, "UNAUTHENTICATED");
    service
        .send("GET /api/v1/generation.test", &[], b"")
        .expect(200, "");
}

#[test]
fn first_account_is_made_with_the_link_that_serve_prints() {
    let desk = Desk::new();
    let mut service = Service::start(&desk, &[]);
    let token = service.said("/setup#token=");
    let input = |token: &str, password: &str| json!({"token": token, "email": "ann@example.org", "name": "Ann", "password": password});
    service
        .post("auth.setup", "", &input("cws_guess", "correct horse battery"))
        .expect(409, "SETUP_CLOSED");
    let made = service.post("auth.setup", "", &input(&token, "correct horse battery"));
    let made = made.expect(200, "accessToken").json();
    assert_eq!(made["user"]["role"], "superadmin");
    service
        .post("auth.setup", "", &input(&token, "correct horse battery"))
        .expect(409, "SETUP_CLOSED");
    let access = made["accessToken"].as_str().unwrap();
    service
        .get("/api/v1/auth.me", access)
        .expect(200, "ann@example.org");
    let refused = service.post(
        "auth.login",
        "",
        &json!({"email": "ann@example.org", "password": "wrong"}),
    );
    refused.expect(401, "WRONG_CREDENTIALS");
}

#[test]
fn sessions_go_on_until_a_refresh_token_comes_twice() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let added = service.command(&[
        "user",
        "create",
        "bob@example.org",
        "--role",
        "admin",
        "--generate-password",
    ]);
    let added = added.expect(0, &["bob@example.org is added as admin"]).stdout;
    let password = added.lines().nth(1).unwrap();
    let signed_in = service.post(
        "auth.login",
        "",
        &json!({"email": "Bob@Example.org", "password": password}),
    );
    let first = signed_in.expect(200, "refreshToken").json();
    let refresh = |tokens: &Value| {
        service.post(
            "auth.refresh",
            "",
            &json!({"refreshToken": tokens["refreshToken"]}),
        )
    };
    let second = refresh(&first).expect(200, "refreshToken").json();
    // A second tab of the same browser, at the same moment.
    let third = refresh(&first).expect(200, "refreshToken").json();
    // Somebody else, with what was used.
    let stolen = json!({"refreshToken": first["refreshToken"]}).to_string();
    let elsewhere = [
        ("content-type", "application/json"),
        ("user-agent", "another browser"),
    ];
    service
        .send("POST /api/v1/auth.refresh", &elsewhere, stolen.as_bytes())
        .expect(401, "UNAUTHENTICATED");
    for of_the_session in [&second, &third] {
        refresh(of_the_session).expect(401, "UNAUTHENTICATED");
    }

    for _ in 0..10 {
        let guess = json!({"email": "bob@example.org", "password": "guess"});
        service
            .post("auth.login", "", &guess)
            .expect(401, "WRONG_CREDENTIALS");
    }
    let right = json!({"email": "bob@example.org", "password": password});
    let limited = service.post("auth.login", "", &right).expect(429, "RATE_LIMITED");
    assert!(
        limited.head.to_lowercase().contains("retry-after: "),
        "{limited:?}"
    );
}

#[test]
fn keys_made_on_the_command_line_work_within_their_scopes_until_revoked() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let organization = service.printed(&["org", "create", "A school", "--tier", "basic"]);
    service.printed(&["org", "set-tier", "A school", "standard"]);
    service
        .command(&["org", "list"])
        .expect(0, &["A school", "standard", &organization]);
    service.printed(&["user", "create", "cid@example.org", "--org", "A school"]);
    service.printed(&["user", "set-role", "cid@example.org", "admin"]);
    service
        .command(&["user", "list", "--org", &organization])
        .expect(0, &["cid@example.org", "admin"]);

    let token = service.printed(&["token", "create", "cid@example.org", "--hours", "1"]);
    service.get("/api/v1/auth.me", &token).expect(200, "A school");
    let create = json!({"name": "LMS", "scopes": ["read"]});
    let made = service
        .post("apiKeys.create", &token, &create)
        .expect(200, "cw_")
        .json();
    let key = made["key"].as_str().unwrap();
    service.get("/api/v1/auth.me", key).expect(200, "cid@example.org");
    service
        .send("GET /api/v1/auth.me", &[("x-api-key", key)], b"")
        .expect(200, "cid@example.org");
    // It reads, and can neither change anything nor make itself successors.
    service
        .post("apiKeys.create", key, &create)
        .expect(403, "INSUFFICIENT_SCOPE");
    let listed = service.get("/api/v1/apiKeys.list", key).expect(200, "LMS");
    assert!(!listed.body.contains(&key[12..]), "{listed:?}");
    let id = made["apiKey"]["id"].clone();
    service
        .post("apiKeys.revoke", &token, &json!({"id": id}))
        .expect(200, "revokedAt");
    service.get("/api/v1/auth.me", key).expect(401, "UNAUTHENTICATED");

    let key = service.printed(&[
        "apikey",
        "create",
        "cid@example.org",
        "--name",
        "Script",
        "--scope",
        "read,admin",
    ]);
    service
        .get("/api/v1/auth.me", &key)
        .expect(200, "cid@example.org");
    let listed = service
        .command(&["apikey", "list", "--org", "A school"])
        .expect(0, &["Script", "read,admin"]);
    let row = listed
        .stdout
        .lines()
        .find(|line| line.contains("Script"))
        .unwrap();
    let id = row.split(' ').next().unwrap().to_owned();
    service
        .command(&["apikey", "revoke", &id])
        .expect(0, &["Script", "is ended"]);
    service
        .get("/api/v1/auth.me", &key)
        .expect(401, "UNAUTHENTICATED");
}

#[test]
fn wrong_arguments_are_told_with_what_there_is() {
    let desk = Desk::new();
    desk.run(&["org", "set-tier", "nowhere", "free"])
        .expect(2, &["there is no organization 'nowhere'", "org list"]);
    desk.run(&["org", "create", ""])
        .expect(2, &["1 to 200 characters"]);
    desk.run(&["org", "create", "A", "--tier", "gold"])
        .expect(2, &["trial, free, basic, standard, premium"]);
    desk.run(&["user", "create", "ann"])
        .expect(2, &["email", "ann@example.org"]);
    desk.run(&["user", "set-role", "nobody@example.org", "admin"])
        .expect(2, &["there is no user", "user list"]);
    desk.run(&["user", "create", "a@b", "--role", "root"])
        .expect(2, &["student, instructor, admin, superadmin"]);
    desk.run(&["user", "set-password", "owner@localhost"])
        .expect(2, &["--password-stdin"]);
    desk.run(&["user", "set-role", "owner@localhost", "student"])
        .expect(1, &["last superadmin"]);
    desk.run(&["token", "create", "nobody@example.org"])
        .expect(2, &["there is no user"]);
    desk.run(&["token", "create", "a@b", "--hours", "0"])
        .expect(2, &["--hours"]);
    desk.run(&[
        "apikey",
        "create",
        "owner@localhost",
        "--name",
        "x",
        "--scope",
        "all",
    ])
    .expect(2, &["read, generate, admin"]);
    desk.run(&["apikey", "revoke", "0198a000-0000-7000-8000-000000000001"])
        .expect(2, &["there is no API key"]);
}
