//! Exercise types as models and people write them.

use super::ExerciseType;

/// An exercise type that was read from a near miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadExerciseType {
    /// The type.
    pub exercise_type: ExerciseType,
    /// It was written as the data model says; otherwise the mapping is worth a line in the log.
    pub is_exact: bool,
}

/// Names folded as [`fold`] does it; a name that only contains one of them is mapped by the first that fits.
const NEAR_MISSES: &[(ExerciseType, &[&str])] = &[
    (
        ExerciseType::SelfAssessment,
        &[
            "self assessment",
            "self evaluation",
            "self check",
            "self test",
            "self review",
            "checklist",
            "selfassessment",
            "самооценка",
            "самопроверка",
            "самоанализ",
            "чек лист",
        ],
    ),
    (
        ExerciseType::CaseStudy,
        &[
            "case study",
            "case analysis",
            "case",
            "casestudy",
            "scenario analysis",
            "analysis",
            "research",
            "кейс",
            "разбор",
            "ситуационная задача",
            "анализ",
            "исследование",
        ],
    ),
    (
        ExerciseType::Simulation,
        &[
            "role play",
            "roleplay",
            "role playing",
            "simulation",
            "scenario",
            "game",
            "drill",
            "имитация",
            "симуляция",
            "ролевая игра",
            "сценарий",
            "игра",
            "моделирование",
        ],
    ),
    (
        ExerciseType::Discussion,
        &[
            "discussion",
            "debate",
            "group work",
            "group",
            "forum",
            "brainstorm",
            "peer review",
            "peer",
            "collaborative",
            "interview",
            "presentation",
            "дискуссия",
            "обсуждение",
            "дебаты",
            "групповая работа",
            "мозговой штурм",
        ],
    ),
    (
        ExerciseType::Quiz,
        &[
            "quiz",
            "test",
            "multiple choice",
            "true false",
            "question",
            "matching",
            "fill in the blank",
            "exam",
            "knowledge check",
            "flashcard",
            "викторина",
            "тест",
            "опрос",
            "вопрос",
            "квиз",
        ],
    ),
    (
        ExerciseType::Reflection,
        &[
            "reflection",
            "reflect",
            "reflective",
            "journal",
            "essay",
            "diary",
            "writing prompt",
            "рефлексия",
            "размышление",
            "дневник",
            "эссе",
        ],
    ),
    (
        ExerciseType::HandsOn,
        &[
            "hands on",
            "handson",
            "practical",
            "practice",
            "project",
            "lab",
            "laboratory",
            "coding",
            "code",
            "programming",
            "exercise",
            "activity",
            "workshop",
            "problem solving",
            "problem",
            "task",
            "assignment",
            "tutorial",
            "demo",
            "design",
            "writing",
            "calculation",
            "experiment",
            "практика",
            "практическая",
            "практическое",
            "проект",
            "лабораторная",
            "упражнение",
            "задание",
            "задача",
            "мастер класс",
            "эксперимент",
        ],
    ),
];

impl ExerciseType {
    /// The type that `name` means: "Case study", "role-play", "coding project"; `None` where it means none.
    pub fn from_near_miss(name: &str) -> Option<ReadExerciseType> {
        let trimmed = name.trim();
        let exact = Self::ALL.into_iter().find(|kind| kind.as_str() == trimmed);
        if let Some(exercise_type) = exact {
            return Some(ReadExerciseType {
                exercise_type,
                is_exact: true,
            });
        }
        let folded = fold(trimmed);
        let whole = NEAR_MISSES
            .iter()
            .find(|(_, names)| names.contains(&folded.as_str()));
        let part = || {
            let padded = format!(" {folded} ");
            let holds =
                |name: &str| padded.contains(&format!(" {name} ")) || padded.contains(&format!(" {name}s "));
            // Longer names say more: "case study project" is a case study.
            NEAR_MISSES
                .iter()
                .flat_map(|(kind, names)| names.iter().map(move |name| (*kind, *name)))
                .filter(|(_, name)| holds(name))
                .max_by_key(|(kind, name)| (name.split(' ').count(), *kind != Self::HandsOn))
                .map(|(kind, _)| kind)
        };
        whole
            .map(|(kind, _)| *kind)
            .or_else(part)
            .map(|exercise_type| ReadExerciseType {
                exercise_type,
                is_exact: false,
            })
    }
}

/// Lower case words with single spaces: `CaseStudy`, `case-study` and `CASE_STUDY` are all `case study`.
fn fold(name: &str) -> String {
    let mut folded = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_alphanumeric() {
            if letter.is_uppercase() && after_lower {
                folded.push(' ');
            }
            folded.extend(letter.to_lowercase());
        } else {
            folded.push(' ');
        }
        after_lower = letter.is_lowercase();
    }
    folded
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('ё', "е")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, expected: Option<(ExerciseType, bool)>) {
        let read = ExerciseType::from_near_miss(name).map(|read| (read.exercise_type, read.is_exact));
        assert_eq!(read, expected, "{name}");
    }

    #[test]
    fn names_of_the_data_model_are_exact() {
        for exercise_type in ExerciseType::ALL {
            check(exercise_type.as_str(), Some((exercise_type, true)));
        }
    }

    #[test]
    fn near_misses_are_mapped_to_the_nearest() {
        check("Case study", Some((ExerciseType::CaseStudy, false)));
        check("CaseStudy", Some((ExerciseType::CaseStudy, false)));
        check("CASE-STUDIES analysis", Some((ExerciseType::CaseStudy, false)));
        check("role play", Some((ExerciseType::Simulation, false)));
        check("Role-playing game", Some((ExerciseType::Simulation, false)));
        check("project", Some((ExerciseType::HandsOn, false)));
        check("hands-on lab", Some((ExerciseType::HandsOn, false)));
        check("Coding exercise", Some((ExerciseType::HandsOn, false)));
        check("multiple-choice quiz", Some((ExerciseType::Quiz, false)));
        check(
            "self-assessment quiz",
            Some((ExerciseType::SelfAssessment, false)),
        );
        check("Group discussion", Some((ExerciseType::Discussion, false)));
        check("reflective journal", Some((ExerciseType::Reflection, false)));
        check("Кейс", Some((ExerciseType::CaseStudy, false)));
        check("Ролевая игра", Some((ExerciseType::Simulation, false)));
        check("Практическое задание", Some((ExerciseType::HandsOn, false)));
        check("Обсуждение в группе", Some((ExerciseType::Discussion, false)));
    }

    #[test]
    fn names_that_mean_no_type_are_not_guessed() {
        check("", None);
        check("lecture", None);
        check("casein synthesis", None);
    }
}
