//! Identifiers that stay the same from one export of a course to the next, so that an import replaces what it brought
//! before, and that no other course has.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::CourseView;

/// Begins an identifier that has to be an XML name, for which a UUID may begin with the wrong character.
const NAME_START: &str = "cw-";

/// The UUID (version 8, RFC 9562) of a part of a course, for example `lesson-3`.
pub(super) fn uuid(course: &CourseView<'_>, part: &str) -> Uuid {
    let hash = Sha256::digest(format!("coursewright:{}:{part}", course.id));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The UUID as a URN, where an IRI is wanted.
pub(super) fn urn(course: &CourseView<'_>, part: &str) -> String {
    uuid(course, part).urn().to_string()
}

/// The UUID as an XML name, where an `xs:ID` is wanted.
pub(super) fn name(course: &CourseView<'_>, part: &str) -> String {
    format!("{NAME_START}{}", uuid(course, part).simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample::Sample;

    #[test]
    fn parts_and_courses_are_told_apart() {
        let (english, russian) = (Sample::english(), Sample::russian());
        let one = uuid(&english.view(), "lesson-1");
        assert_eq!(one, uuid(&english.view(), "lesson-1"));
        assert_ne!(one, uuid(&english.view(), "lesson-2"));
        assert_ne!(one, uuid(&russian.view(), "lesson-1"));
        assert_eq!(one.get_version_num(), 8);
        assert!(urn(&english.view(), "a").starts_with("urn:uuid:"));
    }
}
