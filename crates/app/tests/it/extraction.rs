//! Files go in, text or a clear message comes out, whatever they are: through the real process that reads them.

mod hostile;
mod pdf;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// What a file must come to.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// An error whose message has one of these words.
    Error(&'static [&'static str]),
    /// A text that has this word.
    Text(&'static str),
    /// Either: the file can be read, with care.
    Anything,
}

fn extract(path: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_coursewright"))
        .arg("extract")
        .arg(path)
        .args(flags)
        .output()
        .unwrap()
}

/// What a file came to, if it is not what was expected.
fn complaint(path: &Path, expected: Expected) -> Option<String> {
    let output = extract(path, &[]);
    let name = path.file_name().unwrap().to_string_lossy();
    let (text, message) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let is_error = matches!(output.status.code(), Some(1 | 2)) && message.contains(&*name) && text.is_empty();
    let is_text = output.status.code() == Some(0) && !text.trim().is_empty();
    // On a busy machine any of them may run out of time, and says so.
    let is_late =
        is_error && (message.contains("took too long") || message.contains("could not be read now"));
    let is_expected = match expected {
        Expected::Error(words) => is_error && words.iter().any(|word| message.contains(word)),
        Expected::Text(word) => is_text && text.contains(word),
        Expected::Anything => is_error || is_text,
    };
    let leaks = text.contains("root:") || message.contains("root:");
    if (is_expected || is_late) && !leaks {
        return None;
    }
    let text: String = text.chars().take(200).collect();
    Some(format!(
        "{name}: {expected:?}, but {:?}: {message} {text}",
        output.status.code()
    ))
}

#[test]
fn hostile_and_broken_files_end_with_a_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let files = hostile::files();
    assert!(files.len() >= 40, "{} files", files.len());
    let complaints: Vec<String> = files
        .into_iter()
        .filter_map(|(name, bytes, expected)| {
            let path = folder.path().join(name);
            fs::write(&path, bytes).unwrap();
            complaint(&path, expected)
        })
        .collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn what_is_read_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Заметки.txt");
    fs::write(&path, encoded("Глава 1\n\nСпрос и предложение.\n")).unwrap();
    let output = extract(&path, &[]);
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "# Глава 1\n\nСпрос и предложение.\n"
    );
    let output = extract(&path, &["--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["blocks"][0]["kind"], "heading");
    let unknown = folder.path().join("notes.xyz");
    fs::write(&unknown, "x").unwrap();
    let output = extract(&unknown, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("notes.xyz: files of this type cannot be read"));
}

/// A text in windows-1251, letter by letter.
fn encoded(text: &str) -> Vec<u8> {
    let code = |letter: char| match letter {
        'А'..='я' => u8::try_from(u32::from(letter) - u32::from('А') + 0xC0).unwrap(),
        letter => u8::try_from(letter).unwrap(),
    };
    text.chars().map(code).collect()
}
