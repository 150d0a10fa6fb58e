//! Course answers of the real size, in English and Russian.

use serde_json::{Value, json};

/// One undamaged answer and the schema it was asked for.
pub(crate) struct Document {
    pub(crate) name: String,
    pub(crate) schema: Value,
    pub(crate) value: Value,
}

impl Document {
    /// As models write it.
    pub(crate) fn pretty(&self) -> String {
        serde_json::to_string_pretty(&self.value).expect("a value is JSON")
    }
}

/// Two sections, two sets of metadata and two lesson texts.
pub(crate) fn documents() -> Vec<Document> {
    let mut documents = Vec::new();
    for words in [&ENGLISH, &RUSSIAN] {
        for (kind, schema, value) in [
            ("section", section_schema(), section(words)),
            ("metadata", metadata_schema(), metadata(words)),
            ("lesson content", content_schema(), content(words)),
        ] {
            let validator = jsonschema::validator_for(&schema).expect("the schema is one");
            assert!(
                validator.is_valid(&value),
                "{:?}",
                validator.iter_errors(&value).next()
            );
            documents.push(Document {
                name: format!("{} {kind}", words.language),
                schema,
                value,
            });
        }
    }
    documents
}

struct Words {
    language: &'static str,
    titles: [&'static str; 5],
    objectives: [&'static str; 5],
    topics: [&'static str; 10],
    exercises: [&'static str; 5],
    long: [&'static str; 4],
    markdown: &'static str,
}

const ENGLISH: Words = Words {
    language: "English",
    titles: [
        "Ownership: who frees the memory",
        "Borrowing, or \"look but do not touch\"",
        "Lifetimes in functions and structs",
        "Error handling with Result<T, E>",
        "Traits & generics: one code, many types",
    ],
    objectives: [
        "Explain why a moved value can no longer be used by its first owner",
        "Rewrite a function so that it borrows its argument instead of taking it",
        "Diagnose the compiler's message \"borrowed value does not live long enough\"",
        "Design an error type that keeps the cause; show it to a user",
        "Compare static and dynamic dispatch by size and speed",
    ],
    topics: [
        "Move semantics of String and Vec",
        "Copy types: integers, bool, char",
        "Shared references (&T)",
        "Exclusive references (&mut T)",
        "The rule \"many readers or one writer\"",
        "Lifetime elision in signatures",
        "The ? operator",
        "From and Into for errors",
        "The words \"move\", \"copy\" and \"clone\"",
        "Monomorphisation, code size",
    ],
    exercises: [
        "Find the three moves in the listing and say, for each, which variable is invalid afterwards.",
        "Take the function `longest(a, b)`; add the lifetimes; explain what they promise to the caller.",
        "A colleague says: \"Just clone it.\" Discuss when that is right, when it hides a design fault.",
        "Measure the program with 1,000 and 100,000 items: note the times, then explain the difference.",
        "Write a test that fails before the repair and passes after it; keep it under 20 lines.",
    ],
    long: [
        "In this section the learner meets the idea that sets Rust apart: every value has one owner, and the compiler knows when it ends. We start from a bug that everyone has seen in C, a pointer to freed memory, and ask what a compiler would have to know to refuse it.",
        "By the end the learner reads the borrow checker's messages as advice. Each lesson adds one rule, shows a program that breaks it, and repairs that program in two ways, so that the learner can choose (and say why).",
        "For developers who write Python, Go or C++ daily and have read some Rust; no systems programming is assumed, but comfort with functions, structs and a terminal is.",
        "Short quizzes after each section check the vocabulary; a project (a log analyser that reads 2 GB in under 5 s) is assessed with a rubric: correctness 50%, clarity 30%, speed 20%.",
    ],
    markdown: "## Why a move?\n\nWhen `let b = a;` runs, the *pointer* is copied, the heap data is not:\n\n```rust\nlet a = String::from(\"hi\");\nlet b = a;\n// println!(\"{a}\"); // error: value borrowed after move\n```\n\n1. `a` owned the text.\n2. Now `b` does; `a` is empty in the compiler's eyes.\n\n> \"A value has one owner\" - the rule that makes `free` safe.\n\n| type | moved? |\n|---|---|\n| `i32` | no, copied |\n| `String` | yes |\n\tTabs and C:\\\\books\\\\code.",
};

const RUSSIAN: Words = Words {
    language: "Russian",
    titles: [
        "Владение: кто освобождает память",
        "Заимствование, или \"смотри, но не трогай\"",
        "Времена жизни в функциях и структурах",
        "Обработка ошибок с Result<T, E>",
        "Типажи и обобщения: один код, много типов",
    ],
    objectives: [
        "Объяснить, почему перемещённое значение недоступно прежнему владельцу",
        "Переписать функцию так, чтобы она заимствовала аргумент, а не забирала его",
        "Диагностировать сообщение «borrowed value does not live long enough»",
        "Спроектировать тип ошибки, который хранит причину; показать её пользователю",
        "Сравнить статическую и динамическую диспетчеризацию по размеру и скорости",
    ],
    topics: [
        "Семантика перемещения у String и Vec",
        "Копируемые типы: целые, bool, char",
        "Разделяемые ссылки (&T)",
        "Исключительные ссылки (&mut T)",
        "Правило \"много читателей или один писатель\"",
        "Опущенные времена жизни в сигнатурах",
        "Оператор ? и ранний возврат",
        "From и Into для ошибок",
        "Слова \"move\", \"copy\" и \"clone\"",
        "Мономорфизация, размер кода",
    ],
    exercises: [
        "Найдите в листинге три перемещения и укажите, какая переменная после каждого недействительна.",
        "Возьмите функцию `longest(a, b)`; добавьте времена жизни; объясните, что они обещают.",
        "Коллега говорит: \"Просто клонируй.\" Обсудите, когда это верно, а когда скрывает ошибку замысла.",
        "Измерьте программу на 1 000 и 100 000 элементах: запишите время, затем объясните разницу.",
        "Напишите тест, который падает до исправления и проходит после; не длиннее 20 строк.",
    ],
    long: [
        "В этом разделе слушатель знакомится с идеей, которая отличает Rust: у каждого значения один владелец, и компилятор знает, когда оно умирает. Мы начинаем с ошибки, которую видел каждый, кто писал на C, и спрашиваем, что должен знать компилятор, чтобы её отвергнуть.",
        "К концу слушатель читает сообщения проверки заимствований как советы. Каждый урок добавляет одно правило, показывает программу, которая его нарушает, и исправляет её двумя способами (чтобы можно было выбрать и объяснить выбор).",
        "Для разработчиков, которые ежедневно пишут на Python, Go или C++ и немного читали Rust; системное программирование не требуется, но функции, структуры и терминал должны быть знакомы.",
        "Короткие тесты после каждого раздела проверяют словарь; проект (анализатор журналов, который читает 2 ГБ быстрее 5 с) оценивается по критериям: верность 50%, ясность 30%, скорость 20%.",
    ],
    markdown: "## Зачем перемещение?\n\nКогда выполняется `let b = a;`, копируется *указатель*, а данные в куче нет:\n\n```rust\nlet a = String::from(\"привет\");\nlet b = a;\n// println!(\"{a}\"); // ошибка\n```\n\n1. `a` владела текстом.\n2. Теперь им владеет `b`.\n\n> \"У значения один владелец\" — правило, которое делает `free` безопасным.\n\n\tТабуляция и C:\\\\пути\\\\тоже.",
};

const EXERCISE_TYPES: [&str; 7] = [
    "self_assessment",
    "case_study",
    "hands_on",
    "discussion",
    "quiz",
    "simulation",
    "reflection",
];

fn section(words: &Words) -> Value {
    let lessons: Vec<Value> = (0..4)
        .map(|lesson| {
            let topic = |place: usize| words.topics[(lesson * 2 + place) % words.topics.len()];
            json!({
                "lesson_number": lesson + 1,
                "lesson_title": words.titles[lesson],
                "lesson_objectives": [words.objectives[lesson], words.objectives[lesson + 1]],
                "key_topics": [topic(0), topic(1), topic(2)],
                "estimated_duration_minutes": 15,
                "is_optional": lesson == 3,
                "practical_exercises": (0..3).map(|exercise| json!({
                    "exercise_type": EXERCISE_TYPES[(lesson + exercise) % EXERCISE_TYPES.len()],
                    "exercise_title": words.titles[(lesson + exercise) % words.titles.len()],
                    "exercise_description": words.exercises[(lesson + exercise) % words.exercises.len()],
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "section_number": 1,
        "section_title": words.titles[0],
        "section_description": words.long[0],
        "learning_objectives": words.objectives,
        "lessons": lessons,
    })
}

fn metadata(words: &Words) -> Value {
    json!({
        "course_title": words.titles[1],
        "course_description": words.long[0],
        "course_overview": format!("{}\n\n{}", words.long[0], words.long[1]),
        "target_audience": words.long[2],
        "difficulty_level": "intermediate",
        "prerequisites": [words.topics[0]],
        "learning_outcomes": words.objectives,
        "assessment_strategy": {
            "quiz_per_section": true,
            "final_exam": false,
            "practical_projects": 2,
            "assessment_description": words.long[3],
        },
        "course_tags": words.topics,
        "certificate": null,
    })
}

fn content(words: &Words) -> Value {
    json!({
        "introduction": words.long[1],
        "blocks": words.topics[..4].iter().map(|topic| json!({ "title": topic, "body": words.markdown })).collect::<Vec<_>>(),
        "examples": [{ "title": words.titles[2], "body": words.markdown }],
        "quiz": (0..3).map(|question| json!({
            "question": words.exercises[question],
            "options": words.topics[question..question + 4],
            "correct": [question],
            "explanation": words.long[question],
            "weight": 0.5,
        })).collect::<Vec<_>>(),
        "summary": words.long[3],
        "word_count": 1450,
    })
}

fn object(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<String, Value> = fields
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

fn text(least: u32, most: u32) -> Value {
    json!({ "type": "string", "minLength": least, "maxLength": most })
}

fn list(items: &Value, least: u32) -> Value {
    json!({ "type": "array", "items": items, "minItems": least })
}

fn section_schema() -> Value {
    let exercise = object(&[
        ("exercise_type", json!({ "enum": EXERCISE_TYPES })),
        ("exercise_title", text(5, 300)),
        ("exercise_description", text(10, 1500)),
    ]);
    let lesson = object(&[
        ("lesson_number", json!({ "type": "integer" })),
        ("lesson_title", text(5, 500)),
        ("lesson_objectives", list(&text(15, 600), 1)),
        ("key_topics", list(&text(5, 300), 2)),
        (
            "estimated_duration_minutes",
            json!({ "type": "integer", "minimum": 3, "maximum": 45 }),
        ),
        ("is_optional", json!({ "type": "boolean" })),
        ("practical_exercises", list(&exercise, 3)),
    ]);
    object(&[
        ("section_number", json!({ "type": "integer" })),
        ("section_title", text(10, 600)),
        ("section_description", text(20, 2000)),
        ("learning_objectives", list(&text(20, 600), 1)),
        ("lessons", list(&lesson, 1)),
    ])
}

fn metadata_schema() -> Value {
    let assessment = object(&[
        ("quiz_per_section", json!({ "type": "boolean" })),
        ("final_exam", json!({ "type": "boolean" })),
        ("practical_projects", json!({ "type": "integer" })),
        ("assessment_description", text(50, 1500)),
    ]);
    object(&[
        ("course_title", text(10, 1000)),
        ("course_description", text(50, 3000)),
        ("course_overview", text(100, 10_000)),
        ("target_audience", text(20, 1500)),
        (
            "difficulty_level",
            json!({ "enum": ["beginner", "intermediate", "advanced"] }),
        ),
        ("prerequisites", list(&text(10, 600), 0)),
        ("learning_outcomes", list(&text(30, 600), 3)),
        ("assessment_strategy", assessment),
        ("course_tags", list(&text(3, 150), 5)),
        ("certificate", json!({ "type": ["string", "null"] })),
    ])
}

fn content_schema() -> Value {
    let block = object(&[("title", text(5, 300)), ("body", text(10, 20_000))]);
    let question = object(&[
        ("question", text(10, 1500)),
        ("options", list(&text(3, 300), 2)),
        ("correct", list(&json!({ "type": "integer" }), 1)),
        ("explanation", text(10, 2000)),
        ("weight", json!({ "type": "number" })),
    ]);
    object(&[
        ("introduction", text(10, 5000)),
        ("blocks", list(&block, 1)),
        ("examples", list(&block, 0)),
        ("quiz", list(&question, 3)),
        ("summary", text(10, 3000)),
        ("word_count", json!({ "type": "integer" })),
    ])
}
