//! Which allowed value somebody meant.

/// The share of letters that may differ between a value and the one that was meant.
const MOST_DIFFERENCE: f64 = 0.25;

/// Words that turn what stands with them into its opposite.
const NEGATIONS: [&str; 24] = [
    "no",
    "not",
    "non",
    "none",
    "never",
    "without",
    "except",
    "isn",
    "anti",
    "instead",
    "rather",
    "нет",
    "не",
    "без",
    "кроме",
    "kein",
    "keine",
    "nicht",
    "ohne",
    "sans",
    "pas",
    "sin",
    "nao",
    "nie",
];

/// The option that `written` means, if exactly one is near enough: equal but for case, spaces, hyphens and
/// underscores; or the only one it contains as words; or nearest by edit distance with the same first letter, since
/// `informal` is no slip of `formal`. Nothing that is denied.
pub(super) fn nearest<'a>(written: &str, options: &[&'a str]) -> Option<&'a str> {
    let wanted = folded(written);
    if wanted.is_empty() {
        return None;
    }
    let equal = |option: &&&str| folded(option) == wanted;
    if let Some(option) = only(options.iter().filter(equal)) {
        return Some(option);
    }
    if wanted.split(' ').any(|word| NEGATIONS.contains(&word)) {
        return None;
    }
    let padded = format!(" {wanted} ");
    let contained = |option: &&&str| {
        let option = folded(option);
        option.chars().count() > 3 && padded.contains(&format!(" {option} "))
    };
    if let Some(option) = only(options.iter().filter(contained)) {
        return Some(option);
    }
    let distances = options
        .iter()
        .map(|option| (distance(&wanted, &folded(option)), *option));
    let (least, nearest) = distances.clone().min_by_key(|(distance, _)| *distance)?;
    let is_near = least as f64 <= wanted.chars().count() as f64 * MOST_DIFFERENCE;
    let has_same_start = wanted.chars().next() == folded(nearest).chars().next();
    let is_only = distances.filter(|(distance, _)| *distance == least).count() == 1;
    (is_near && is_only && has_same_start).then_some(nearest)
}

/// Lower case, words separated by one space.
pub(super) fn folded(text: &str) -> String {
    let mut words = String::new();
    let mut previous_is_lower = false;
    for letter in text.trim().chars() {
        if letter.is_alphanumeric() {
            // camelCase has a border where a capital follows a small letter.
            if letter.is_uppercase() && previous_is_lower {
                words.push(' ');
            }
            words.extend(letter.to_lowercase());
            previous_is_lower = letter.is_lowercase() || letter.is_numeric();
        } else {
            previous_is_lower = false;
            if !words.ends_with(' ') && !words.is_empty() {
                words.push(' ');
            }
        }
    }
    words.trim_end().to_owned()
}

fn only<'a: 'b, 'b>(mut options: impl Iterator<Item = &'b &'a str>) -> Option<&'a str> {
    let first = options.next()?;
    options.next().is_none().then_some(*first)
}

/// Levenshtein's distance in letters. Long texts are no names of values: they count as wholly different.
fn distance(a: &str, b: &str) -> usize {
    const LONGEST: usize = 64;
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > LONGEST || b.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [&str; 7] = [
        "self_assessment",
        "case_study",
        "hands_on",
        "discussion",
        "quiz",
        "simulation",
        "reflection",
    ];

    #[test]
    fn near_misses_are_mapped() {
        let check = |written: &str, expected: Option<&str>| {
            assert_eq!(nearest(written, &TYPES), expected, "{written}");
        };
        check("Case study", Some("case_study"));
        check("CASE-STUDY", Some("case_study"));
        check("caseStudy", Some("case_study"));
        check("hands-on exercise", Some("hands_on"));
        check("discusion", Some("discussion"));
        check("Multiple choice quiz", Some("quiz"));
        check("selfassessment", Some("self_assessment"));
    }

    #[test]
    fn far_and_ambiguous_values_are_not() {
        let check = |written: &str| assert_eq!(nearest(written, &TYPES), None, "{written}");
        check("role play");
        check("essay");
        check("");
        check("quiz or discussion");
        check("not a quiz");
        check("no discussion");
        check("kein Quiz");
        check("Fallstudie");
        assert_eq!(nearest("cat", &["bat", "rat"]), None);
        assert_eq!(nearest("informal", &["formal", "nonformal"]), None);
        assert_eq!(nearest("inductive", &["deductive"]), None);
    }
}
