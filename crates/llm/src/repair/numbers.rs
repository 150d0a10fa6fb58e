//! Numbers in texts. A unit counts only where it is the field's own: "30 seconds" are no 30 minutes.

use serde_json::{Number, Value, json};

use super::near::folded;

/// Words of one unit, in the languages of the courses and their neighbours. A name that has one of them has the unit.
const UNITS: [&[&str]; 7] = [
    &[
        "second",
        "seconds",
        "sec",
        "secs",
        "s",
        "секунда",
        "секунды",
        "секунд",
        "сек",
        "sekunde",
        "sekunden",
        "seconde",
        "secondes",
        "segundo",
        "segundos",
    ],
    &[
        "minute",
        "minutes",
        "min",
        "mins",
        "минута",
        "минуты",
        "минут",
        "мин",
        "минуту",
        "minuten",
        "minuto",
        "minutos",
        "分",
        "分钟",
    ],
    &[
        "hour",
        "hours",
        "h",
        "hr",
        "hrs",
        "час",
        "часа",
        "часов",
        "ч",
        "stunde",
        "stunden",
        "std",
        "heure",
        "heures",
        "hora",
        "horas",
        "小时",
    ],
    &[
        "day", "days", "d", "день", "дня", "дней", "tag", "tage", "jour", "jours", "día", "días",
    ],
    &[
        "week",
        "weeks",
        "wk",
        "wks",
        "неделя",
        "недели",
        "недель",
        "woche",
        "wochen",
        "semaine",
        "semaines",
    ],
    &[
        "month",
        "months",
        "месяц",
        "месяца",
        "месяцев",
        "monat",
        "monate",
        "mois",
        "mes",
        "meses",
    ],
    &[
        "%",
        "percent",
        "percentage",
        "pct",
        "процент",
        "процента",
        "процентов",
        "prozent",
        "pourcent",
    ],
];

/// The number in a text that is one, alone or with the unit of the field: `30`, `12,5`, `30 min` of `minutes`.
pub(super) fn number_in(text: &str, field: &str, fractions: bool) -> Option<Value> {
    let text = text.trim();
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || matches!(letter, '.' | ',' | '-' | '+')));
    let (digits, unit) = text.split_at(end.unwrap_or(text.len()));
    if !is_own_unit(unit.trim().trim_end_matches('.'), field) || is_grouped(digits) {
        return None;
    }
    if let Ok(whole) = digits.parse::<i64>() {
        return Some(json!(whole));
    }
    let number = Number::from_f64(digits.replace(',', ".").parse().ok()?)?;
    whole(&number).or_else(|| fractions.then_some(Value::Number(number)))
}

/// The number as a whole one, if it is.
pub(super) fn whole(number: &Number) -> Option<Value> {
    let float = number.as_f64()?;
    #[expect(clippy::cast_possible_truncation, reason = "bounded just before")]
    (float.fract() == 0.0 && float.abs() < 9e15).then(|| json!(float as i64))
}

/// 1,000 and 1.000 are a thousand here and one there.
fn is_grouped(digits: &str) -> bool {
    let groups = digits.trim_start_matches(['+', '-']).split_once([',', '.']);
    groups.is_some_and(|(before, behind)| before != "0" && behind.len() >= 3)
}

fn is_own_unit(unit: &str, field: &str) -> bool {
    if unit.is_empty() {
        return true;
    }
    let unit = unit.to_lowercase();
    let name = folded(field);
    let words = || name.split(' ');
    if let Some(same) = UNITS.iter().find(|words| words.contains(&unit.as_str())) {
        return words().any(|word| same.contains(&word));
    }
    // `4 lessons` of `lesson_count`.
    let stem = unit.trim_end_matches('s');
    stem.chars().count() > 2 && words().any(|word| word.trim_end_matches('s') == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fields_own_unit_is_left_out() {
        let check = |text: &str, field: &str, expected: Option<Value>| {
            assert_eq!(number_in(text, field, true), expected, "{text} of {field}");
        };
        check("15", "minutes", Some(json!(15)));
        check(" 15 minutes", "estimated_duration_minutes", Some(json!(15)));
        check("15 Min.", "minutes", Some(json!(15)));
        check("15 минут", "minutes", Some(json!(15)));
        check("30 seconds", "minutes", None);
        check("1 hour", "minutes", None);
        check("1 minutes", "lesson_number", None);
        check("4 lessons", "lesson_count", Some(json!(4)));
        check("80%", "share_percent", Some(json!(80)));
        check("80%", "weight", None);
        check("12,5", "weight", Some(json!(12.5)));
        check("0.125", "weight", Some(json!(0.125)));
        check("1.500", "minutes", None);
        check("1,000", "words", None);
        check("~15", "minutes", None);
        check("10-15", "minutes", None);
        check("fifteen", "minutes", None);
        check("1 h 30", "hours", None);
    }
}
