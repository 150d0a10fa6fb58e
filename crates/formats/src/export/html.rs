//! One self-contained page: text, style and script in one file that asks nothing of any server.

use std::sync::LazyLock;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use self::page::CoursePage;
use super::{CourseView, ExportError, characters};

mod cited;
mod grounding;
mod page;

/// The page's style sheet, inlined. Its hash stands in the content security policy.
const STYLE: &str = include_str!("../../templates/course.css");
/// The page's script, inlined. Its hash stands in the content security policy.
const SCRIPT: &str = include_str!("../../templates/course.js");

/// Nothing may be loaded from anywhere, and no other style or script may run, whatever a lesson's text holds.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash_source(STYLE),
        hash_source(SCRIPT)
    )
});

/// Writes the page.
///
/// # Errors
/// If the template cannot be filled.
pub(super) fn render(course: &CourseView<'_>) -> Result<Vec<u8>, ExportError> {
    let page = CoursePage::new(course, &POLICY, STYLE, SCRIPT);
    let text = page.render().map_err(ExportError::Html)?;
    Ok(characters::writable(text).into_bytes())
}

/// The hash source of Content Security Policy level 3 for an inlined text.
fn hash_source(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(text.as_bytes())))
}
