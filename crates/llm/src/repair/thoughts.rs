//! What a model thought aloud before it answered is no part of the answer: tags, channels, and what was never closed.

/// What is left of an answer without its thoughts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The answer alone.
    pub(super) text: String,
    /// Whether every end of thoughts stood outside of any JSON. Else the whole text may be the answer as well.
    pub(super) is_certain: bool,
}

/// The answer alone; `None` if there are no thoughts in `text`. Tags inside the texts of JSON are texts and stay.
pub(super) fn without_thoughts(text: &str) -> Option<Answer> {
    match final_channel(text) {
        Some(answer) => Some(without_tags(&answer).unwrap_or(Answer {
            text: answer,
            is_certain: true,
        })),
        None => without_tags(text),
    }
}

/// Names of tags in which models think, in small letters.
const NAMES: [&str; 24] = [
    "think",
    "thinks",
    "thinking",
    "thinking_process",
    "thought",
    "thoughts",
    "thought_process",
    "reason",
    "reasoning",
    "reasoning_process",
    "reflection",
    "reflect",
    "analysis",
    "analyze",
    "scratchpad",
    "monologue",
    "inner_monologue",
    "antthinking",
    "ant_thinking",
    "cot",
    "chain_of_thought",
    "deliberation",
    "brainstorming",
    "draft",
];
/// Words before a name in tags without a slash: `<|begin_of_thought|>`, `<|START_THINKING|>`.
const OPENING_WORDS: [&str; 4] = ["begin_of_", "begin_", "start_of_", "start_"];
const CLOSING_WORDS: [&str; 2] = ["end_of_", "end_"];
/// Longer tags are none, attributes included, in bytes.
const LONGEST_TAG_BYTES: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    start: usize,
    end: usize,
    is_opening: bool,
    /// What both ends have in common.
    name: String,
}

fn without_tags(text: &str) -> Option<Answer> {
    let tags = tags_of(text);
    let mut kept = String::new();
    // What is before it was kept or left out.
    let mut from = 0;
    let mut position = Position::default();
    let mut seen = 0;
    let mut is_certain = true;
    let mut has_thoughts = false;
    // The tag that last opened inside of JSON.
    let mut inner: Option<&str> = None;
    let mut rest = tags.as_slice();
    while let Some((tag, later)) = rest.split_first() {
        rest = later;
        if tag.start < seen {
            continue;
        }
        position.advance(text, seen, tag.start);
        seen = tag.start;
        let answer_follows = text[tag.end..].trim_start().starts_with(['{', '[', '`']);
        // JSON in which no text is seen may be damaged: its quotes are curly, escaped, or stand inside texts.
        let is_inner = position.is_in_text()
            || (position.depth > 0 && (tag.is_opening || inner == Some(tag.name.as_str())));
        if is_inner && (tag.is_opening || !answer_follows) {
            if tag.is_opening {
                inner = Some(&tag.name);
            }
            continue;
        }
        has_thoughts = true;
        if tag.is_opening {
            kept.push_str(&text[from..tag.start]);
            let closing = rest
                .iter()
                .position(|other| !other.is_opening && other.name == tag.name);
            let Some(closing) = closing else {
                // Thoughts that do not end: nothing of them is an answer.
                from = text.len();
                break;
            };
            from = rest[closing].end;
            rest = &rest[closing + 1..];
        } else {
            // The server swallowed the opening tag.
            is_certain &= position.depth == 0;
            kept.clear();
            from = tag.end;
        }
        seen = from;
        position = Position::default();
        inner = None;
    }
    kept.push_str(&text[from..]);
    has_thoughts.then_some(Answer {
        text: kept,
        is_certain,
    })
}

fn tags_of(text: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(start) = text[at..].find(['<', '[', '\u{25c1}']).map(|offset| at + offset) {
        let window = &text[start..text.floor_char_boundary((start + LONGEST_TAG_BYTES).min(text.len()))];
        let found = tag_at(window).filter(|(_, is_opening, _)| {
            // `Vec<Thought>` is program text.
            !is_opening || !text[..start].ends_with(char::is_alphanumeric)
        });
        match found {
            Some((length, is_opening, name)) => {
                tags.push(Tag {
                    start,
                    end: start + length,
                    is_opening,
                    name,
                });
                at = start + length;
            }
            None => at = start + window.chars().next().map_or(1, char::len_utf8),
        }
    }
    tags
}

/// The tag that `window` begins with: its length, whether it opens, and its name.
fn tag_at(window: &str) -> Option<(usize, bool, String)> {
    // Gemma's: `<|channel>thought` ... `<channel|>`.
    if window.starts_with("<channel|>") {
        return Some(("<channel|>".len(), false, "channel".to_owned()));
    }
    if let Some(inside) = window.strip_prefix("<|channel>") {
        let is_thought = ["thought", "thinking", "analysis"]
            .iter()
            .any(|name| inside.trim_start().starts_with(name));
        return is_thought.then(|| ("<|channel>".len(), true, "channel".to_owned()));
    }
    let first = window.chars().next()?;
    let end = match first {
        '<' => '>',
        '[' => ']',
        _ => '\u{25b7}',
    };
    let body = &window[first.len_utf8()..];
    let close = body.find(end)?;
    let length = first.len_utf8() + close + end.len_utf8();
    let inside = body[..close].trim_matches('|').trim();
    let (mut is_opening, name) = match inside.strip_prefix('/') {
        Some(name) => (false, name.trim_start_matches('|').trim()),
        None => (true, inside),
    };
    if name.ends_with('/') || name.contains(['<', '\n', '{', '"']) && first != '<' {
        return None;
    }
    let word_end = name.find(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | ':' | '-')));
    let (word, attributes) = name.split_at(word_end.unwrap_or(name.len()));
    // In prose square brackets are brackets; as tags they are written in capitals and without attributes.
    if first == '[' && (!attributes.is_empty() || word.chars().any(char::is_lowercase)) {
        return None;
    }
    if attributes.contains('<') {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let mut word = word.rsplit(':').next().unwrap_or_default();
    if word == "details" {
        // Chat programs fold reasoning into these.
        return (!is_opening || attributes.contains("reasoning"))
            .then(|| (length, is_opening, "details".to_owned()));
    }
    if let Some(name) = CLOSING_WORDS.iter().find_map(|prefix| word.strip_prefix(prefix)) {
        is_opening = false;
        word = name;
    } else if let Some(name) = OPENING_WORDS.iter().find_map(|prefix| word.strip_prefix(prefix)) {
        word = name;
    }
    NAMES
        .contains(&word)
        .then(|| (length, is_opening, word.to_owned()))
}

/// Where in JSON a place of a text is, as far as can be told while reading on.
#[derive(Clone, Copy, Debug, Default)]
struct Position {
    depth: usize,
    /// The quote that opened the text around the place.
    quote: Option<u8>,
    /// The last byte that is no white space.
    last: u8,
}

impl Position {
    const fn is_in_text(self) -> bool {
        self.quote.is_some()
    }

    /// Reads `text[from..to]`.
    fn advance(&mut self, text: &str, from: usize, to: usize) {
        let bytes = text.as_bytes();
        let mut at = from;
        while at < to {
            let byte = bytes[at];
            if let Some(quote) = self.quote {
                if byte == b'\\' {
                    at += 1;
                } else if byte == quote {
                    let next = bytes[at + 1..].iter().find(|byte| !byte.is_ascii_whitespace());
                    if next.is_none_or(|next| b",}]:".contains(next)) {
                        self.quote = None;
                    }
                }
            } else {
                match byte {
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    b'"' | b'\'' if self.depth > 0 && b"{[,:".contains(&self.last) => {
                        self.quote = Some(byte);
                    }
                    _ => {}
                }
            }
            if !byte.is_ascii_whitespace() {
                self.last = byte;
            }
            at += 1;
        }
    }
}

/// The tokens between which models of the harmony format speak.
const CHANNEL_TOKENS: [&str; 7] = [
    "<|start|>",
    "<|channel|>",
    "<|constrain|>",
    "<|message|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
];

/// What was said in the final channel, or, if there is none, what was said to a tool; `None` without channels.
fn final_channel(text: &str) -> Option<String> {
    let first = CHANNEL_TOKENS.iter().filter_map(|token| text.find(token)).min();
    let Some(first) = first else {
        return without_channel_words(text);
    };
    let mut position = Position::default();
    position.advance(text, 0, first);
    if position.is_in_text() || !text.contains("<|message|>") {
        return None;
    }
    let (mut finals, mut calls, mut plain) = (String::new(), String::new(), String::new());
    for (header, content) in messages(text) {
        let name = header.split_whitespace().next().unwrap_or_default();
        if name == "final" {
            finals.push_str(content);
        } else if header.contains("to=") {
            calls.push_str(content);
        } else if matches!(name, "" | "assistant") {
            plain.push_str(content);
        }
    }
    let spoken = [finals, calls, plain];
    let said = spoken.into_iter().find(|spoken| !spoken.trim().is_empty());
    Some(said.unwrap_or_default())
}

/// Each message with the words before it: channel, recipient.
fn messages(text: &str) -> Vec<(String, &str)> {
    let mut messages = Vec::new();
    let mut header = String::new();
    let mut in_message = false;
    let mut rest = text;
    loop {
        let next = rest.match_indices("<|").find_map(|(at, _)| {
            let token = CHANNEL_TOKENS
                .iter()
                .find(|token| rest[at..].starts_with(**token))?;
            Some((at, *token))
        });
        let (piece, token) = match next {
            Some((at, token)) => (&rest[..at], Some(token)),
            None => (rest, None),
        };
        if in_message {
            messages.push((std::mem::take(&mut header), piece));
        } else {
            header.push_str(piece);
        }
        let Some(token) = token else { break };
        rest = &rest[piece.len() + token.len()..];
        in_message = token == "<|message|>";
        match token {
            "<|start|>" | "<|channel|>" if !header.contains("to=") => header.clear(),
            "<|message|>" => {}
            _ => header.push(' '),
        }
    }
    messages
}

/// Channels whose tokens the server left out: `analysisWe need JSON.assistantfinal{...}`.
fn without_channel_words(text: &str) -> Option<String> {
    let thoughts = ["analysis", "commentary"]
        .iter()
        .find_map(|name| text.strip_prefix(name))?;
    // The word `analysis` in prose ends with a space.
    if !thoughts.starts_with(|letter: char| letter.is_uppercase()) {
        return None;
    }
    let answer = thoughts.split_once("assistantfinal").map(|(_, answer)| answer);
    Some(answer.unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{"a": "x"}"#;

    fn check(text: &str, expected: &str) {
        let answer = without_thoughts(text).map_or_else(|| text.to_owned(), |answer| answer.text);
        assert_eq!(answer.trim(), expected, "{text}");
    }

    #[test]
    fn thoughts_of_all_forms_are_left_out() {
        for (open, close) in [
            ("<think>", "</think>"),
            ("<THINK>", "</THINK>"),
            ("<think time=\"3\">", "</think>"),
            ("< think >", "< /think >"),
            ("<thinking>", "</thinking>"),
            ("<thought>", "</thought>"),
            ("<reasoning>", "</reasoning>"),
            ("<reflection>", "</reflection>"),
            ("<analysis>", "</analysis>"),
            ("<scratchpad>", "</scratchpad>"),
            ("<seed:think>", "</seed:think>"),
            ("<draft>", "</draft>"),
            ("[THINK]", "[/THINK]"),
            ("<|begin_of_thought|>", "<|end_of_thought|>"),
            ("<|START_THINKING|>", "<|END_THINKING|>"),
            ("<|channel>thought\n", "<channel|>"),
            ("\u{25c1}think\u{25b7}", "\u{25c1}/think\u{25b7}"),
            ("<details type=\"reasoning\" done=\"true\">", "</details>"),
            (
                "<|channel|>analysis<|message|>",
                "<|end|><|start|>assistant<|channel|>final<|message|>",
            ),
            (
                "analysis<|message|>",
                "<|end|><|start|>assistant<|channel|>commentary<|message|>So.<|end|><|start|>assistant<|channel|>final<|message|>",
            ),
            (
                "<|channel|>analysis<|message|>",
                "<|end|><|start|>assistant<|channel|>commentary to=functions.answer <|constrain|>json<|message|>",
            ),
            ("analysisWe need", "assistantfinal"),
        ] {
            let draft = r#"maybe {"a": "draft", "b": [1"#;
            check(&format!("{open}{draft}{close}{JSON}"), JSON);
            // Unclosed: nothing of it is an answer.
            check(&format!("{open}{draft} {JSON}"), "");
        }
    }

    #[test]
    fn a_missing_opening_tag_is_no_matter() {
        check(&format!("Hm, {{\"a\": \"draft\"}} or so.</think>{JSON}"), JSON);
        check(&format!("Hm, {{\"a: 1 </think>{JSON}"), JSON);
        check(
            &format!("<think>I close it with </think> here: </think>{JSON}"),
            JSON,
        );
    }

    #[test]
    fn tags_inside_texts_stay() {
        for json in [
            r#"{"a": "the </think> tag", "b": "<think>"}"#,
            r#"{"a": "x \" </think> y"}"#,
            r"{'a': 'the <think> tag'}",
            r#"{"a": "what <|channel|>analysis<|message|> means"}"#,
            r#"{"a": "Vec<Thought>"}"#,
        ] {
            check(&format!("Here: {json}"), &format!("Here: {json}"));
            check(&format!("<think>{{\"x</think>{json}"), json);
        }
    }

    #[test]
    fn tags_inside_damaged_json_stay() {
        for json in [
            "{\u{201c}a\u{201d}: \u{201c}Use <thinking>x</thinking> tags\u{201d}}",
            r#"{"a": "Use "scratchpads", as in <thinking>step</thinking>, to reason"}"#,
            r#"{\"a\": \"Use <thinking>x</thinking> tags\", \"b\": {\"a\": \"y\"}}"#,
            "{&quot;a&quot;: &quot;Use <thinking>x</thinking> tags&quot;}",
            "{a: never closed <draft>}",
        ] {
            check(json, json);
            check(&format!("<think>{{\"x</think>{json}"), json);
            check(&format!("{json}<think>x</think>"), json);
        }
        // A draft that was given up for an answer.
        check(&format!("{{\"a\": 1,\n<think>No.</think>\n{JSON}"), JSON);
        check(
            &format!("{{\"a\": 1}} <think>No.</think> {JSON}"),
            &format!("{{\"a\": 1}}  {JSON}"),
        );
    }
}
