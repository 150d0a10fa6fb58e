//! Names of files from titles in any script.

/// Longest name without its extension, in bytes: every file system takes it, and a person can read it.
const STEM_MAX: usize = 80;
/// The name of a course whose title has no letter or digit.
const STEM_DEFAULT: &str = "course";

/// A name of ASCII lower-case letters, digits and hyphens, then `ending`; other scripts are transliterated.
pub(super) fn file_name(title: &str, ending: &str) -> String {
    format!("{}{ending}", stem(title))
}

/// The name without its extension.
pub(super) fn stem(title: &str) -> String {
    let mut stem = String::new();
    for word in deunicode::deunicode(title)
        .replace(['\'', '"', '`'], "")
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        if stem.is_empty() {
            stem.extend(word.chars().take(STEM_MAX));
        } else if stem.len() + 1 + word.len() <= STEM_MAX {
            stem.push('-');
            stem.push_str(word);
        } else {
            break;
        }
    }
    if stem.is_empty() {
        stem.push_str(STEM_DEFAULT);
    }
    stem.make_ascii_lowercase();
    stem
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(title: &str, expected: &str) {
        assert_eq!(file_name(title, ".html"), expected, "{title}");
    }

    #[test]
    fn titles_become_readable_file_names() {
        check("Practical Git: Teamwork!", "practical-git-teamwork.html");
        check("Don't Panic", "dont-panic.html");
        check("Основы личных финансов", "osnovy-lichnykh-finansov.html");
        check("Съёмка щенка", "siomka-shchenka.html");
        check("日本語 101", "ri-ben-yu-101.html");
        check("../../etc/passwd", "etc-passwd.html");
        check("a\0b\r\nc", "a-b-c.html");
        check("!!! ***", "course.html");
    }

    #[test]
    fn long_titles_are_cut_between_words() {
        let stem = stem(&"word ".repeat(100));
        assert!(stem.len() <= STEM_MAX && stem.ends_with("word"), "{stem}");
        assert_eq!(super::stem(&"x".repeat(1000)).len(), STEM_MAX);
    }
}
