//! Answers that were encoded as a whole: escaped as a text of JSON, or as HTML.

use super::follows::{is_space, skip_space};
use super::guard::unescaped;

/// So often an answer may be encoded.
const MOST_ENCODINGS: usize = 4;

/// The answer decoded, if it is encoded: `{\"title\": \"...\"}`, `{&quot;title&quot;: ...`.
pub(super) fn decoded(answer: &str) -> Option<String> {
    let mut plain: Option<String> = None;
    for _ in 0..MOST_ENCODINGS {
        let next = decoded_once(plain.as_deref().unwrap_or(answer));
        if next.is_none() {
            break;
        }
        plain = next;
    }
    plain
}

fn decoded_once(answer: &str) -> Option<String> {
    // How the first key is quoted shows how all are.
    let start = answer.find(['{', '['])?;
    let mut inside =
        answer[start + 1..].trim_start_matches(|letter| is_space(letter) || matches!(letter, '{' | '['));
    while let Some(rest) = inside.strip_prefix("\\n").or_else(|| inside.strip_prefix("\\t")) {
        inside = skip_space(rest);
    }
    let inside = inside.chars().take(8).collect::<String>().to_ascii_lowercase();
    let behind_backslashes = inside.trim_start_matches('\\');
    let is_quote = behind_backslashes.starts_with('"') || behind_backslashes.starts_with("u0022");
    if is_quote && behind_backslashes.len() < inside.len() {
        return Some(unescaped(answer));
    }
    ["&quot;", "&#34;", "&#034;", "&#x22;"]
        .iter()
        .any(|entity| inside.starts_with(entity))
        .then(|| without_entities(answer))
}

/// HTML's entities of the characters that JSON uses, resolved once.
fn without_entities(answer: &str) -> String {
    const ENTITIES: [(&str, char); 13] = [
        ("&quot;", '"'),
        ("&#34;", '"'),
        ("&#034;", '"'),
        ("&#x22;", '"'),
        ("&apos;", '\''),
        ("&#39;", '\''),
        ("&#039;", '\''),
        ("&#x27;", '\''),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&nbsp;", '\u{a0}'),
        ("&amp;", '&'),
        ("&#38;", '&'),
    ];
    let mut plain = String::with_capacity(answer.len());
    let mut rest = answer;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = ENTITIES.iter().find(|(entity, _)| rest.starts_with(entity));
        let (length, letter) = entity.map_or((1, '&'), |(entity, letter)| (entity.len(), *letter));
        plain.push(letter);
        rest = &rest[length..];
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_decoded() {
        let check = |answer: &str, expected: Option<&str>| {
            assert_eq!(decoded(answer).as_deref(), expected, "{answer}");
        };
        check(r#"{\"a\": \"x\\ny\"}"#, Some(r#"{"a": "x\ny"}"#));
        check(r#"{\n  \"a\": \"x\"}"#, Some("{\n  \"a\": \"x\"}"));
        check(r"{\u0022a\u0022: 1}", Some(r#"{"a": 1}"#));
        check(r#"{\\\"a\\\": 1}"#, Some(r#"{"a": 1}"#));
        check(
            "{&quot;a&quot;: &quot;x &amp;quot; &lt;b&gt;&quot;}",
            Some(r#"{"a": "x &quot; <b>"}"#),
        );
        check(r#"{"a": "say \"x\" &quot;"}"#, None);
    }
}
