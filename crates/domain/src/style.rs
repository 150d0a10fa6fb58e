//! The 21 styles of texts (data model 2.6).

mod prompts;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! styles {
    ($($(#[$default:ident])? $variant:ident = $name:literal {
        $title_en:literal, $title_ru:literal, $description_en:literal, $description_ru:literal $(,)?
    })+) => {
        /// How all texts of a course sound. A style never overrides pedagogy.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Style {
            $(
                #[doc = $description_en]
                $(#[$default])?
                $variant,
            )+
        }

        impl Style {
            /// Every style, as the data model lists them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in JSON and on the command line.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The name for English readers.
            pub const fn title_en(self) -> &'static str {
                match self { $(Self::$variant => $title_en,)+ }
            }

            /// The name for Russian readers.
            pub const fn title_ru(self) -> &'static str {
                match self { $(Self::$variant => $title_ru,)+ }
            }

            /// One line for English readers.
            pub const fn description_en(self) -> &'static str {
                match self { $(Self::$variant => $description_en,)+ }
            }

            /// One line for Russian readers.
            pub const fn description_ru(self) -> &'static str {
                match self { $(Self::$variant => $description_ru,)+ }
            }
        }
    };
}

styles! {
    Academic = "academic" {
        "Academic", "Академический",
        "Exact terms, evidence and balanced argument.",
        "Точные термины, доказательства и взвешенные выводы.",
    }
    #[default]
    Conversational = "conversational" {
        "Conversational", "Разговорный",
        "A colleague explains in plain words.",
        "Коллега объясняет простыми словами.",
    }
    Storytelling = "storytelling" {
        "Storytelling", "Повествовательный",
        "Ideas arrive inside a story when they are needed.",
        "Идеи появляются внутри истории, когда они нужны.",
    }
    Practical = "practical" {
        "Practical", "Практический",
        "Steps, checklists and results for tomorrow's work.",
        "Шаги, списки проверки и результат для завтрашней работы.",
    }
    Motivational = "motivational" {
        "Motivational", "Мотивирующий",
        "A coach links every step to a gain.",
        "Наставник связывает каждый шаг с пользой.",
    }
    Visual = "visual" {
        "Visual", "Наглядный",
        "Pictures in words, tables and diagrams.",
        "Образы, таблицы и схемы.",
    }
    Gamified = "gamified" {
        "Gamified", "Игровой",
        "Challenges with rising difficulty and rewards in skill.",
        "Испытания растущей сложности с наградой в навыках.",
    }
    Minimalist = "minimalist" {
        "Minimalist", "Минималистичный",
        "Each thing once, in few words.",
        "Каждая мысль один раз и кратко.",
    }
    Research = "research" {
        "Research", "Исследовательский",
        "Questions, evidence and open problems.",
        "Вопросы, свидетельства и открытые проблемы.",
    }
    Engaging = "engaging" {
        "Engaging", "Увлекательный",
        "Puzzles and surprises that lead to understanding.",
        "Загадки и неожиданности, ведущие к пониманию.",
    }
    Professional = "professional" {
        "Professional", "Деловой",
        "A briefing among specialists: conclusion, reasons, action.",
        "Разговор специалистов: вывод, причины, действие.",
    }
    Socratic = "socratic" {
        "Socratic", "Сократический",
        "Questions lead the learner to the answer.",
        "Вопросы ведут к ответу.",
    }
    ProblemBased = "problem_based" {
        "Problem-based", "Проблемный",
        "A real problem first, theory as its tools.",
        "Сначала реальная проблема, теория как инструмент.",
    }
    Collaborative = "collaborative" {
        "Collaborative", "Совместный",
        "Tasks for pairs and groups.",
        "Задания для пар и групп.",
    }
    Technical = "technical" {
        "Technical", "Технический",
        "Precise documentation that teaches.",
        "Точная документация, которая учит.",
    }
    Microlearning = "microlearning" {
        "Microlearning", "Микрообучение",
        "Short pieces with one objective each.",
        "Короткие части с одной целью в каждой.",
    }
    Inspirational = "inspirational" {
        "Inspirational", "Вдохновляющий",
        "Shows what becomes possible and the next step to it.",
        "Показывает, что становится возможным, и следующий шаг.",
    }
    Interactive = "interactive" {
        "Interactive", "Интерактивный",
        "Something to do every few paragraphs.",
        "Действие через каждые несколько абзацев.",
    }
    Analytical = "analytical" {
        "Analytical", "Аналитический",
        "Criteria, comparison, causes and trade-offs.",
        "Критерии, сравнение, причины и компромиссы.",
    }
    CaseBased = "case_based" {
        "Case-based", "На примерах случаев",
        "Cases with a decision, rules drawn from them.",
        "Случаи с выбором решения и выводом правил из них.",
    }
    ExamPrep = "exam_prep" {
        "Exam preparation", "Подготовка к экзамену",
        "What is asked, how it is graded, how to answer in time.",
        "Что спрашивают, как оценивают и как успеть ответить.",
    }
}

impl Style {
    /// The style with this name, upper and lower case, hyphens and spaces folded.
    pub fn from_name(name: &str) -> Option<Self> {
        let wanted = name.trim().to_lowercase().replace(['-', ' '], "_");
        Self::ALL.iter().copied().find(|style| style.as_str() == wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_one_styles_have_all_their_texts() {
        assert_eq!(Style::ALL.len(), 21);
        for style in Style::ALL {
            for text in [
                style.title_en(),
                style.title_ru(),
                style.description_en(),
                style.description_ru(),
            ] {
                assert!(!text.is_empty() && !text.contains('\n'), "{style:?}");
            }
            assert!(
                style
                    .title_ru()
                    .chars()
                    .any(|letter| ('а'..='я').contains(&letter)),
                "{style:?}"
            );
            let sentences = style.prompt().split_terminator(". ").count();
            assert!(
                (3..=6).contains(&sentences),
                "{style:?} has {sentences} sentences"
            );
            assert_eq!(Style::from_name(style.as_str()), Some(*style));
        }
    }

    #[test]
    fn prompts_differ() {
        let prompts: std::collections::HashSet<_> = Style::ALL.iter().map(|style| style.prompt()).collect();
        assert_eq!(prompts.len(), Style::ALL.len());
    }

    #[test]
    fn names_fold_case_hyphens_and_spaces() {
        assert_eq!(Style::from_name(" Problem-Based "), Some(Style::ProblemBased));
        assert_eq!(Style::from_name("EXAM PREP"), Some(Style::ExamPrep));
        assert_eq!(Style::from_name("baroque"), None);
    }
}
