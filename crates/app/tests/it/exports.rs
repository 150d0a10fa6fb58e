//! A finished course in every format, over both ways: as JSON and as the file itself.

use crate::people::{ELSEWHERE, HOME, Person};
use crate::service::Service;

/// Every format with how its file begins and what its name ends with.
const FORMATS: [(&str, &str, &str); 13] = [
    ("html", "<!DOCTYPE html>", ".html"),
    ("markdown", "---\n", ".md"),
    ("json", "{", ".json"),
    ("epub", "PK", ".epub"),
    ("scorm12", "PK", "-scorm12.zip"),
    ("scorm2004", "PK", "-scorm2004.zip"),
    ("cmi5", "PK", "-cmi5.zip"),
    ("imscc", "PK", ".imscc"),
    ("olx", "\u{1f}", "-olx.tar.gz"),
    ("qti21", "PK", "-qti21.zip"),
    ("qti3", "PK", "-qti3.zip"),
    ("moodle-xml", "<?xml", "-moodle.xml"),
    ("gift", "$CATEGORY: ", "-gift.txt"),
];

/// Exports a course that its owner has finished.
pub(crate) fn check(service: &Service<'_>, owner: &Person, course: &str) {
    for (format, begin, ending) in FORMATS {
        let exported = owner.reads(
            service,
            &format!("courses.export?courseId={course}&format={format}"),
        );
        let binary = begin == "PK" || format == "olx";
        assert_eq!(
            exported["encoding"],
            if binary { "base64" } else { "utf8" },
            "{format}"
        );
        let name = exported["fileName"].as_str().unwrap();
        assert!(name.ends_with(ending), "{name}");

        let file = service.get(&format!("/api/courses/{course}/export/{format}"), &owner.token);
        assert_eq!(file.status, 200, "{format}: {}", file.head);
        assert!(file.body.starts_with(begin), "{format}");
        let media_type = exported["mediaType"].as_str().unwrap();
        for header in [
            format!("content-type: {media_type}\r\n"),
            format!("content-disposition: attachment; filename=\"{name}\"\r\n"),
            "x-content-type-options: nosniff\r\n".to_owned(),
        ] {
            assert!(file.head.contains(&header), "{format}: {}", file.head);
        }
    }
    let path = format!("/api/courses/{course}/export/epub");
    let asked_by = |person: &Person| service.get(&path, &person.token);
    asked_by(&Person::new(71, "student", HOME)).expect(403, "FORBIDDEN");
    asked_by(&Person::new(72, "instructor", ELSEWHERE)).expect(404, "NOT_FOUND");
    asked_by(&Person::new(73, "instructor", HOME)).expect(404, "NOT_FOUND");
    service
        .send(&format!("GET {path}"), &[], b"")
        .expect(401, "UNAUTHENTICATED");
    service
        .get(&format!("/api/courses/{course}/export/pdf"), &owner.token)
        .expect(400, "scorm2004");
}

/// A course of which nothing is written has no packages.
pub(crate) fn check_unwritten(service: &Service<'_>, owner: &Person, course: &str) {
    service
        .get(&format!("/api/courses/{course}/export/epub"), &owner.token)
        .expect(412, "GENERATION_NOT_COMPLETED");
}
