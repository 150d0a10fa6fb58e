//! People of several organizations, signed in by tokens of an identity provider.

use serde_json::{Value, json};

use crate::auth::{claims, token};
use crate::service::Service;

/// Somebody.
pub(crate) struct Person {
    pub(crate) token: String,
    pub(crate) id: String,
}

/// The organization in which most of a test happens.
pub(crate) const HOME: u32 = 0xa;
/// Another one.
pub(crate) const ELSEWHERE: u32 = 0xb;
/// One of the tier `free`; the others are of the tier `premium`.
pub(crate) const FREE: u32 = 0xf;

impl Person {
    /// The person with this number, in this role and organization.
    pub(crate) fn new(number: u32, role: &str, organization: u32) -> Self {
        let id = format!("0198a000-0000-7000-8000-{number:012x}");
        let token = token(&claims(|claims| {
            claims["sub"] = json!(id);
            claims["email"] = json!(format!("person{number}@example.org"));
            claims["user_role"] = json!(role);
            claims["tier"] = json!(if organization == FREE { "free" } else { "premium" });
            claims["organization_id"] = json!(format!("0198b000-0000-7000-8000-{organization:012x}"));
        }));
        Self { token, id }
    }

    /// Calls a mutation that succeeds.
    #[track_caller]
    pub(crate) fn does(&self, service: &Service<'_>, procedure: &str, input: &Value) -> Value {
        service.post(procedure, &self.token, input).expect(200, "").json()
    }

    /// Calls a query that succeeds; `query` is what stands after the procedure's name.
    #[track_caller]
    pub(crate) fn reads(&self, service: &Service<'_>, query: &str) -> Value {
        service
            .get(&format!("/api/v1/{query}"), &self.token)
            .expect(200, "")
            .json()
    }

    /// Makes a course; returns its id.
    #[track_caller]
    pub(crate) fn course(&self, service: &Service<'_>, title: &str) -> String {
        let made = self.does(service, "courses.create", &json!({ "title": title }));
        made["id"].as_str().unwrap().to_owned()
    }
}
