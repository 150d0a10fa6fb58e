//! Names of files: shown to people, written into exports, never used as paths here.

/// The longest name in bytes, as file systems have it.
const MAX_BYTES: usize = 255;

/// Whether a name can be kept.
///
/// # Errors
/// Why not, as a clause.
pub(super) fn check(name: &str) -> Result<(), &'static str> {
    if name.len() > MAX_BYTES {
        return Err("it has more than 255 bytes");
    }
    if name.contains(['/', '\\']) || name.starts_with("..") {
        return Err("it is a path");
    }
    if name.trim() != name || name.trim_start_matches('.').is_empty() {
        return Err("it is empty, hidden or has spaces around it");
    }
    if name
        .chars()
        .any(|letter| letter.is_control() || is_invisible(letter))
    {
        return Err("it has control characters");
    }
    Ok(())
}

/// Characters that make a name look like another: marks of direction (`exe.fdp` for `pdf.exe`) and of no width.
const fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_and_no_paths() {
        for good in [
            "plan.pdf",
            "Учебный план (2026), v1.2.docx",
            "a..b.txt",
            "it's 100 %.md",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = format!("{}.txt", "ё".repeat(126));
        for bad in [
            "../../etc/passwd.txt",
            "..\\..\\windows\\win.txt",
            "/etc/passwd.txt",
            "C:\\a.txt",
            "..a.txt",
            "a/b.txt",
            "",
            " a.txt",
            "a.txt\n",
            "a\0.txt",
            "a\u{202e}txt.exe.txt",
            "a\u{200b}.txt",
            "...",
            &long,
        ] {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }
}
