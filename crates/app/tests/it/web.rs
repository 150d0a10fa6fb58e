//! Pages: signing in with a cookie, what other sites cannot do with it, and the board.

use std::cell::RefCell;

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::service::{Answer, Service};

/// What browsers say of a request that one of the site's own pages has caused.
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const JSON: (&str, &str) = ("content-type", "application/json");

/// A browser without scripts: it keeps one cookie and sends forms.
struct Browser<'a> {
    service: &'a Service<'a>,
    cookie: RefCell<String>,
}

impl<'a> Browser<'a> {
    fn new(service: &'a Service<'a>) -> Self {
        Self {
            service,
            cookie: RefCell::default(),
        }
    }

    /// A browser at which this person has signed in.
    #[track_caller]
    fn signed_in(service: &'a Service<'a>, email: &str, password: &str) -> Self {
        let browser = Self::new(service);
        let answer = browser.sign_in(email, password);
        assert_eq!(answer.status, 303, "{answer:?}");
        browser
    }

    fn sign_in(&self, email: &str, password: &str) -> Answer {
        self.submit("/sign-in", &[("email", email), ("password", password)])
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET {path}"), &[], "")
    }

    fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(&format!("POST {path}"), &[OWN, FORM], &body)
    }

    /// Sends a request with the cookie and these headers; keeps the cookie of the answer.
    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let cookie = self.cookie.borrow().clone();
        let mut headers = headers.to_vec();
        if !cookie.is_empty() {
            headers.push(("cookie", &cookie));
        }
        let answer = self.service.send(line, &headers, body.as_bytes());
        if let Some(set) = header(&answer, "set-cookie") {
            let (pair, _) = set.split_once(';').unwrap();
            let is_empty = pair.ends_with('=');
            self.cookie
                .replace(if is_empty { String::new() } else { pair.to_owned() });
        }
        answer
    }
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// Makes an account; returns its password.
fn account(service: &Service<'_>, email: &str, role: &str, organization: Option<&str>) -> String {
    let mut arguments = vec!["user", "create", email, "--role", role, "--generate-password"];
    arguments.extend(organization.map(|name| ["--org", name]).into_iter().flatten());
    let made = service.command(&arguments).expect(0, &[email]);
    made.stdout.lines().nth(1).unwrap().to_owned()
}

#[track_caller]
fn leads_to(answer: &Answer, expected: &str) {
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(header(answer, "location").as_deref(), Some(expected));
}

#[test]
fn signing_in_opens_the_board_and_signing_out_closes_it() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let password = account(&service, "ann@example.org", "admin", None);
    let browser = Browser::new(&service);
    leads_to(&browser.get("/"), "/board");
    leads_to(
        &browser.get("/board?state=dead"),
        "/sign-in?next=%2Fboard%3Fstate%3Ddead",
    );
    let page = browser
        .get("/sign-in?next=%2Fboard%3Fstate%3Ddead")
        .expect(200, r#"value="/board?state=dead""#);
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(header(&page, "cache-control").as_deref(), Some("no-store"));
    assert_eq!(header(&page, "x-frame-options").as_deref(), Some("DENY"));

    let wrong = browser
        .sign_in("ann@example.org", "not this")
        .expect(401, "alert");
    assert!(header(&wrong, "set-cookie").is_none(), "{wrong:?}");
    assert!(wrong.body.contains(r#"value="ann@example.org""#), "{wrong:?}");
    assert!(!wrong.body.contains("not this"), "{wrong:?}");

    let fields = [
        ("email", "ann@example.org"),
        ("password", &password),
        ("next", "https://evil.example/"),
    ];
    let answer = browser.submit("/sign-in", &fields);
    leads_to(&answer, "/board");
    let cookie = header(&answer, "set-cookie").unwrap();
    assert!(cookie.starts_with("coursewright_session=cwc_"), "{cookie}");
    for part in ["; Path=/", "; Max-Age=2592000", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{part} is not in {cookie}");
    }
    assert!(!cookie.contains("Secure"), "{cookie}");
    browser.get("/board").expect(200, "ann@example.org");
    leads_to(&browser.get("/sign-in"), "/board");

    let kept = browser.cookie.borrow().clone();
    let answer = browser.submit("/sign-out", &[]);
    leads_to(&answer, "/sign-in");
    assert!(
        header(&answer, "set-cookie")
            .unwrap()
            .contains("=; Path=/; Max-Age=0")
    );
    browser.cookie.replace(kept);
    assert_eq!(browser.get("/board").status, 303, "the session has ended, too");
    let again = browser.send("GET /board", &[("hx-request", "true")], "");
    assert_eq!(again.status, 401, "{again:?}");
    assert_eq!(
        header(&again, "hx-redirect").as_deref(),
        Some("/sign-in?next=%2Fboard")
    );
}

#[test]
fn what_other_sites_send_is_not_believed() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let password = account(&service, "ann@example.org", "admin", None);
    let browser = Browser::signed_in(&service, "ann@example.org", &password);
    let own_origin = format!("http://{}", service.address);
    let other_port = own_origin.replace("127.0.0.1:", "127.0.0.1:1");
    let own: [&[(&str, &str)]; 3] = [
        &[OWN],
        &[("origin", &own_origin)],
        &[OWN, ("origin", &own_origin)],
    ];
    let foreign: [&[(&str, &str)]; 9] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", &other_port)],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("sec-fetch-site", "cross-site"), ("origin", &own_origin)],
        &[OWN, ("origin", "https://evil.example")],
    ];
    let counter = "coursewright_auth_rejections_total{reason=\"cross_site\"}";
    let refused = service.figure(counter);
    let credentials = format!("email=ann%40example.org&password={password}");
    let job = "/board/jobs/0198ffff-0000-7000-8000-000000000000/cancel";
    for headers in foreign {
        let mut form = headers.to_vec();
        form.push(FORM);
        // Not even to sign somebody in, or out.
        for (path, body) in [("/sign-in", credentials.as_str()), ("/sign-out", ""), (job, "")] {
            let answer = browser.send(&format!("POST {path}"), &form, body);
            assert_eq!(answer.status, 403, "{path} {headers:?} {answer:?}");
            assert!(header(&answer, "set-cookie").is_none(), "{answer:?}");
        }
        let mut json = headers.to_vec();
        json.push(JSON);
        for path in [
            "/api/v1/courses.create",
            "/trpc/courses.create",
            "/api/coursegen/generate",
        ] {
            let answer = browser.send(&format!("POST {path}"), &json, r#"{"title":"Forged"}"#);
            assert_eq!(answer.status, 401, "{path} {headers:?} {answer:?}");
        }
    }
    assert_eq!(service.figure(counter), refused + 6 * 9);
    browser.get("/board").expect(200, "ann@example.org");

    for headers in own {
        let create = |media_type: (&str, &str), path: &str| {
            let mut headers = headers.to_vec();
            headers.push(media_type);
            browser
                .send(&format!("POST {path}"), &headers, r#"{"title":"My own"}"#)
                .status
        };
        assert_eq!(create(JSON, "/api/v1/courses.create"), 200, "{headers:?}");
        assert_eq!(create(JSON, "/trpc/courses.create"), 200, "{headers:?}");
        // What forms of other sites can send is refused even if the rest looks right.
        for media_type in [FORM, ("content-type", "text/plain"), ("x-none", "")] {
            assert_eq!(
                create(media_type, "/api/v1/courses.create"),
                401,
                "{media_type:?}"
            );
        }
    }
    let text = browser.send("POST /sign-out", &[OWN, ("content-type", "text/plain")], "");
    assert_eq!(text.status, 403, "{text:?}");

    // Reading.
    let me = |headers: &[(&str, &str)]| browser.send("GET /api/v1/auth.me", headers, "").status;
    assert_eq!(me(&[OWN]), 200);
    assert_eq!(
        me(&[("sec-fetch-site", "none")]),
        200,
        "typed into the address bar"
    );
    assert_eq!(me(&[("referer", &format!("{own_origin}/board"))]), 200);
    assert_eq!(me(&[]), 401);
    assert_eq!(me(&[("sec-fetch-site", "cross-site")]), 401);
    assert_eq!(me(&[OWN, ("origin", "https://evil.example")]), 401);
    // Who shows something is nobody else.
    assert_eq!(me(&[OWN, ("authorization", "Bearer x")]), 401);
    // What anybody may call is not refused for a cookie that does not count.
    let open = browser.send("GET /api/v1/generation.test", &[], "");
    assert_eq!(open.status, 200, "{open:?}");
    let preflight = browser.send(
        "OPTIONS /api/v1/courses.create",
        &[
            ("origin", "https://evil.example"),
            ("access-control-request-method", "POST"),
        ],
        "",
    );
    assert!(
        header(&preflight, "access-control-allow-credentials").is_none(),
        "{preflight:?}"
    );
}

#[test]
fn a_cookie_is_good_for_its_session_and_nothing_else() {
    let desk = Desk::new();
    let trusting = [("COURSEWRIGHT_SERVER__TRUST_FORWARDED_FOR", "true")];
    let service = Service::start(&desk, &trusting);
    let password = account(&service, "ann@example.org", "admin", None);
    account(&service, "eve@example.org", "student", None);
    let is_signed_in = |cookie: &str| {
        let headers = [("cookie", cookie)];
        service.send("GET /board", &headers, b"").status == 200
    };
    let browser = Browser::new(&service);

    // Fixation: what somebody has planted is worth nothing afterwards.
    let planted = format!("coursewright_session=cwc_{}", "0".repeat(43));
    browser.cookie.replace(planted.clone());
    browser.sign_in("ann@example.org", &password);
    let first = browser.cookie.borrow().clone();
    assert_ne!(first, planted);
    assert!(is_signed_in(&first) && !is_signed_in(&planted));

    // Tampering, and what is not a cookie of a session.
    let (kept, last) = first.split_at(first.len() - 1);
    let other = if last == "a" { "b" } else { "a" };
    for wrong in [
        format!("{kept}{other}"),
        format!("{first}a"),
        kept.to_owned(),
        first.to_uppercase(),
        format!("{first}; {first}"),
        "coursewright_session=cwr_0".to_owned(),
        format!("coursewright_session={}", "x".repeat(5000)),
        first.replace("coursewright_session", "__Host-coursewright_session"),
    ] {
        assert!(!is_signed_in(&wrong), "{wrong}");
    }
    assert!(is_signed_in(&first));

    // Signing in again ends the session that the browser had, and no other.
    let elsewhere = Browser::signed_in(&service, "ann@example.org", &password);
    browser.sign_in("ann@example.org", &password);
    let second = browser.cookie.borrow().clone();
    assert!(!is_signed_in(&first) && is_signed_in(&second));
    assert!(is_signed_in(&elsewhere.cookie.borrow()));
    // A cookie is no token, nor the other way round.
    let (_, secret) = second.split_once('=').unwrap();
    service
        .get("/api/v1/auth.me", secret)
        .expect(401, "UNAUTHENTICATED");
    service
        .post("auth.refresh", "", &json!({ "refreshToken": secret }))
        .expect(401, "UNAUTHENTICATED");

    // Over https, other hosts of the domain cannot plant one.
    let https = [OWN, FORM, ("x-forwarded-proto", "https")];
    let body = format!("email=ann%40example.org&password={password}");
    let answer = service.send("POST /sign-in", &https, body.as_bytes());
    let secure = header(&answer, "set-cookie").unwrap();
    assert!(secure.starts_with("__Host-coursewright_session=cwc_"), "{secure}");
    assert!(
        secure.contains("; Secure") && secure.contains("; Path=/") && !secure.contains("Domain"),
        "{secure}"
    );
    let (secure, _) = secure.split_once(';').unwrap();
    let over_https = |cookie: &str| {
        let headers = [("cookie", cookie), ("x-forwarded-proto", "https")];
        service.send("GET /board", &headers, b"").status
    };
    assert_eq!((over_https(secure), over_https(&second)), (200, 303));

    service
        .command(&["user", "set-password", "ann@example.org", "--generate-password"])
        .expect(0, &[]);
    for cookie in [&second, secure, &elsewhere.cookie.borrow()] {
        assert!(!is_signed_in(cookie), "a new password ends all sessions");
    }
    assert_eq!(over_https(secure), 303);
}

#[test]
fn tries_are_limited_at_the_page_too() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let password = account(&service, "ann@example.org", "admin", None);
    let browser = Browser::new(&service);
    for _ in 0..10 {
        browser.sign_in("ann@example.org", "guess").expect(401, "alert");
    }
    let limited = browser.sign_in("ann@example.org", &password).expect(429, "alert");
    assert!(header(&limited, "retry-after").is_some(), "{limited:?}");
    let right = json!({ "email": "ann@example.org", "password": password });
    service.post("auth.login", "", &right).expect(429, "RATE_LIMITED");
    let counted = |status: u16| {
        service.figure(&format!(
            "coursewright_requests_total{{procedure=\"auth.login\",status=\"{status}\"}}"
        ))
    };
    assert_eq!((counted(401), counted(429)), (10, 2));
    let long = "x".repeat(20_000);
    browser
        .submit("/sign-in", &[("email", &long)])
        .expect(413, "alert");
}

/// Starts a generation as a page's script would; returns the ids of course and job.
fn started(browser: &Browser<'_>, title: &str) -> (String, String) {
    let body = json!({ "title": title }).to_string();
    let answer = browser.send("POST /api/v1/generation.initiate", &[OWN, JSON], &body);
    let started = answer.expect(200, "queued").json();
    let text = |name: &str| started[name].as_str().unwrap().to_owned();
    (text("courseId"), text("jobId"))
}

fn job(browser: &Browser<'_>, id: &str) -> Value {
    browser
        .send(&format!("GET /api/v1/jobs.get?id={id}"), &[OWN], "")
        .expect(200, "")
        .json()
}

#[test]
fn admins_work_the_queue_from_the_board() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let password = account(&service, "ann@example.org", "admin", None);
    let browser = Browser::signed_in(&service, "ann@example.org", &password);
    browser.get("/board").expect(200, "There are no such jobs.");
    let hostile = "<script>alert(1)</script> & bees";
    let (course, id) = started(&browser, hostile);
    let board = browser.get("/board").expect(200, "&#60;script&#62;");
    assert!(!board.body.contains("<script>alert"), "{board:?}");
    for part in ["Waiting", "Analysis", "has not run yet", "Premium"] {
        assert!(board.body.contains(part), "'{part}' is not in {board:?}");
    }
    browser
        .get("/board?state=dead")
        .expect(200, "There are no such jobs.");
    browser
        .get(&format!("/board?state=pending&courseId={course}&tier=premium"))
        .expect(200, &id);
    browser.get("/board?state=nonsense").expect(400, "alert");
    let page = browser.get(&format!("/board/jobs/{id}")).expect(200, &course);
    for part in ["What it works on", "the whole course", "1.00"] {
        assert!(page.body.contains(part), "'{part}' is not in {page:?}");
    }
    let spoken = browser.send("GET /board", &[("accept-language", "ru")], "");
    assert!(
        spoken.body.contains(r#"<html lang="ru">"#) && spoken.body.contains("Ожидает"),
        "{spoken:?}"
    );

    let act = |id: &str, action: &str, back: &str| {
        browser.submit(&format!("/board/jobs/{id}/{action}"), &[("back", back)])
    };
    leads_to(
        &act(&id, "promote", "/board?state=pending"),
        "/board?state=pending&done=promoted",
    );
    browser
        .get("/board?state=pending&done=promoted")
        .expect(200, "The job starts next.");
    let here = format!("/board/jobs/{id}");
    leads_to(&act(&id, "cancel", &here), &format!("{here}?done=cancelled"));
    assert_eq!(job(&browser, &id)["state"], "cancelled");
    act(&id, "promote", &here).expect(409, "alert");
    act(&id, "explode", &here).expect(404, "alert");
    act("nonsense", "cancel", &here).expect(404, "alert");
    // Going on is a new job, to which the page of the old one leads.
    let retried = act(&id, "retry", &here);
    let location = header(&retried, "location").unwrap();
    assert!(
        location.starts_with("/board/jobs/") && location.ends_with("?done=retried"),
        "{location}"
    );
    assert!(!location.contains(&id), "{location}");
    let (next, _) = location.split_once('?').unwrap();
    let next = next.rsplit('/').next().unwrap();
    leads_to(&act(next, "promote", "//evil.example"), "/board?done=promoted");
}

#[test]
fn the_board_is_for_admins_and_shows_them_what_is_theirs() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    service.printed(&["org", "create", "A school", "--tier", "premium"]);
    let own = account(&service, "ann@example.org", "admin", None);
    let foreign = account(&service, "bob@example.org", "admin", Some("A school"));
    let author = account(&service, "cid@example.org", "instructor", None);
    let operator = account(&service, "dan@example.org", "superadmin", Some("A school"));
    let ann = Browser::signed_in(&service, "ann@example.org", &own);
    let mut last = String::new();
    for _ in 0..26 {
        let (course, id) = started(&ann, "Practical SQL");
        last = id;
        let body = json!({ "courseId": course }).to_string();
        ann.send("POST /api/v1/generation.cancel", &[OWN, JSON], &body)
            .expect(200, "");
    }
    let shown = |answer: &Answer| answer.body.matches("<li class=\"job ").count();
    let first = ann.get("/board").expect(200, &last);
    assert_eq!(shown(&first), 25);
    let (_, rest) = first.body.split_once("id=\"older\" href=\"").unwrap();
    let older = rest.split('"').next().unwrap().replace("&#38;", "&");
    let second = ann.get(&older).expect(200, "id=\"newest\"");
    assert_eq!(shown(&second), 1);
    assert!(!second.body.contains("id=\"older\""), "{second:?}");

    let bob = Browser::signed_in(&service, "bob@example.org", &foreign);
    assert_eq!(shown(&bob.get("/board")), 0);
    bob.get(&format!("/board/jobs/{last}")).expect(404, "alert");
    bob.submit(&format!("/board/jobs/{last}/retry"), &[])
        .expect(404, "alert");
    let cid = Browser::signed_in(&service, "cid@example.org", &author);
    cid.get("/board").expect(403, "sign-out");
    cid.get(&format!("/board/jobs/{last}")).expect(403, "alert");
    cid.submit(&format!("/board/jobs/{last}/retry"), &[])
        .expect(403, "alert");
    let dan = Browser::signed_in(&service, "dan@example.org", &operator);
    assert_eq!(shown(&dan.get("/board")), 25);
    dan.submit(&format!("/board/jobs/{last}/retry"), &[]);
    let audit = dan.send("GET /api/v1/admin.audit", &[OWN], "");
    audit.expect(200, "jobs.retry");
}

#[test]
fn files_of_the_pages_are_kept_by_browsers_until_they_change() {
    let desk = Desk::new();
    let service = Service::start(&desk, &[]);
    let browser = Browser::new(&service);
    let page = browser.get("/sign-in").expect(200, "/assets/");
    let mut files = 0;
    for part in page.body.split('"').filter(|part| part.starts_with("/assets/")) {
        let file = browser.get(part);
        assert_eq!(file.status, 200, "{part}");
        let kept = header(&file, "cache-control").unwrap();
        assert!(kept.contains("immutable"), "{part}: {kept}");
        let (plain, _) = part.split_once('?').unwrap();
        let kept = header(&browser.get(plain), "cache-control").unwrap();
        assert_eq!(kept, "no-cache", "{plain}");
        files += 1;
    }
    assert_eq!(files, 4, "the icon is there twice");
    assert_eq!(browser.get("/assets/none.js").status, 404);
    for forbidden in [
        "<style",
        " style=",
        "onclick",
        "javascript:",
        "http://",
        "https://",
    ] {
        assert!(!page.body.contains(forbidden), "{forbidden}");
    }
}
